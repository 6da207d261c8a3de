"""What a node's programs are watched with: it must see what lives for a moment only."""

import subprocess
import sys

import pytest

from tests.uml import started

# /run is this namespace's own, so that no collector of the machine's is disturbed.
SCRIPT = """
mount -t tmpfs none /run
"$PYTHON" "$NODE" "$OUT" & collector=$!
until test -S /run/started; do sleep 0.05; done
LD_PRELOAD="$LIBRARY" env VARIABLE=hunter2 true
LD_PRELOAD="$LIBRARY" sh -c 'true --password hunter3; env true --secret=hunter2 x'
sleep 1.2
kill $collector
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> list[started.Program]:
    folder = tmp_path_factory.mktemp("started")
    library = started.library(folder)
    words = {"PYTHON": sys.executable, "NODE": started.HERE / "started_node.py",
             "OUT": folder, "LIBRARY": library}  # fmt: skip
    environment = {"PATH": "/usr/bin:/bin", **{name: str(word) for name, word in words.items()}}
    subprocess.run(["unshare", "-Urm", "sh", "-ec", SCRIPT], env=environment, check=True)
    (written,) = folder.glob("*-*")
    return list(started.read(written.read_bytes()))


def test_every_program_is_seen_with_its_starter(programs: list[started.Program]) -> None:
    told = [(program.name, program.starter) for program in programs]
    assert told == [("env", "sh"), ("true", "sh"), ("sh", "sh"), ("env", "sh"), ("true", "sh")]


def test_a_secret_is_found_wherever_it_stands(programs: list[started.Program]) -> None:
    shown = started.showing(programs, [b"hunter2", b"hunter3"])
    assert ("true", "--secret=", "sh") in shown
    assert ("env", "VARIABLE=", "sh") in shown
    assert started.showing(programs, [b"hunter4"]) == set()


def test_a_torn_last_line_is_none() -> None:
    whole = b'{"parent": [], "argv": ["x"], "environment": [], "cut": false}\n'
    assert len(list(started.read(whole + whole[:20]))) == 1
    assert len(list(started.read(whole + bytes(512)))) == 1


def test_what_was_cut_off_is_an_error() -> None:
    with pytest.raises(ValueError, match="too long"):
        list(started.read(b'{"parent": [], "argv": ["x"], "environment": [], "cut": true}\n'))
