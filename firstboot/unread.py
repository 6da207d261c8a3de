"""Programs that have yet to read what was written for them.

A mark is made before a program's files are written and goes once it has read them, so that an agent
that is cut off in between tells the program after all. Marks lie in /run: a reboot makes every
program read anew.
"""

from pathlib import Path

from firstboot import files

FOLDER = Path("run/ksbuild/unread")


def marked(root: Path, program: str) -> list[str]:
    """What is missing, in words: nothing, unless the program was never told."""
    return [f"{program} has not read its files yet"] if _mark(root, program).exists() else []


def mark(root: Path, program: str) -> None:
    """From now on the program has something to read."""
    files.make_folder(root / FOLDER)
    _mark(root, program).touch()


def clear(root: Path, program: str) -> None:
    """The program has read."""
    _mark(root, program).unlink(missing_ok=True)


def _mark(root: Path, program: str) -> Path:
    return root / FOLDER / program
