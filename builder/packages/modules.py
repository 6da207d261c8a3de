"""Notice which packages belong to a module; what modules depend on is not looked at."""

import re
from collections.abc import Iterable

# libmodulemd writes its documents with one indent per level: data.name and data.stream are two
# blanks deep, the artifacts deeper. A name like this cannot be anything else in such a list.
_FIELD = re.compile(r"  (name|stream): *[\"']?([^\"'\s]+)[\"']?\s*")
_ARTIFACT = re.compile(r"\s+- [\"']?(\S+-\d+:[^\s\"']+\.\w+)[\"']?\s*")


def module_of(chunks: Iterable[bytes]) -> dict[str, str]:
    """Map "name-epoch:version-release.arch" to "module:stream" from the text of modules.yaml."""
    found: dict[str, str] = {}
    module = {"name": "", "stream": ""}
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + chunk.decode("utf-8", "replace")).split("\n")
        for line in lines:
            if line.startswith("---"):
                module = {"name": "", "stream": ""}
            elif field := _FIELD.fullmatch(line):
                module[field[1]] = field[2]
            elif artifact := _ARTIFACT.fullmatch(line):
                found[artifact[1]] = f"{module['name']}:{module['stream']}"
    return found
