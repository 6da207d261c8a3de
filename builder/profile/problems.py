"""What is wrong with a profile: one value per mistake, none of them ever holding a secret."""

from dataclasses import dataclass

from builder.profile.positions import KeyPath, Position

START = Position(1, 1)
ERROR, WARNING = "error", "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake or warning: `code` is stable, `path` names the key, `hint` what to do."""

    code: str
    path: KeyPath
    message: str
    hint: str = ""
    position: Position = START
    severity: str = ERROR

    @property
    def key(self) -> str:
        """The path as written in TOML: node[0].crossover.ports[1]."""
        text = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in self.path)
        return text.removeprefix(".")

    def line(self, file: str) -> str:
        """One line as compilers write it: file:line:column: error[code]: key: message."""
        at = f"{file}:{self.position.line}:{self.position.column}"
        where = f" {self.key}:" if self.path else ""
        return f"{at}: {self.severity}[{self.code}]:{where} {self.message}"


class ProfileError(Exception):
    """A profile that can't be used: every problem found, in the order of the file."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        super().__init__(f"{file}: {len(problems)} problem(s)")
        self.file = file
        self.problems = sorted(problems, key=lambda p: (p.position.line, p.position.column))
