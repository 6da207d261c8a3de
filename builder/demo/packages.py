"""Fetch Debian packages with apt as an ordinary user, and keep them.

apt gets a state and cache folder of its own and an empty list of installed packages, so that it
resolves the whole closure and the machine's own apt and dpkg are neither asked nor changed. Which
archive it is and who signs it stays the machine's configuration.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from builder.demo.programs import DemoError, run

_LOCK = "packages.json"
_URI = re.compile(r"^'\S+' (?P<name>[^_\s]+)_(?P<version>[^_\s]+)_\w+\.deb \d+ ?\S*$")


def fetch(wanted: Sequence[str], cache: Path, say: Callable[[str], None]) -> dict[str, Path]:
    """Return name -> .deb of `wanted` and of everything they depend on.

    What was fetched once is used again without a network for as long as each file has the SHA256
    that `packages.json` in `cache` noted; removing that file asks the archive anew.

    Raises:
        DemoError: apt fails, or the archive lacks a package.
    """
    lock, debs = cache / _LOCK, cache / "debs"
    if found := _cached(lock, debs, wanted):
        return found
    say("asking the Debian archive")
    apt = _apt(cache)
    run([*apt, "update"], timeout_s=600)
    chosen = _resolve(apt, wanted)
    say(f"fetching {len(chosen)} packages")
    shutil.rmtree(debs, ignore_errors=True)
    debs.mkdir()
    run(
        [*apt, "download", *(f"{name}={unquote(version)}" for name, version in chosen)],
        cwd=debs,
        timeout_s=1800,
    )
    fetched = {name: next(debs.glob(f"{name}_{version}_*.deb")) for name, version in chosen}
    packages = {
        name: {"file": path.name, "sha256": _digest(path)} for name, path in fetched.items()
    }
    lock.write_text(json.dumps({"wanted": list(wanted), "packages": packages}, indent=1))
    return fetched


def _apt(cache: Path) -> list[str]:
    state = cache / "apt"
    for folder in (state / "lists/partial", state / "archives/partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
        "Dir::Log": state,
        # As root, apt would give the work to a user who may not write here.
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "APT::Architecture": "amd64",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Debug::NoLocking": "true",
    }
    return ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]


def _resolve(apt: Sequence[str], wanted: Sequence[str]) -> list[tuple[str, str]]:
    """Return (name, version as in the file's name) of the closure, without fetching it."""
    listing = run([*apt, "--print-uris", "install", *wanted])
    found = (_URI.match(line) for line in listing.splitlines())
    return [(match["name"], match["version"]) for match in found if match]


def _cached(lock: Path, debs: Path, wanted: Sequence[str]) -> dict[str, Path]:
    """Return the packages of the last run, or nothing if any of them is not as it was."""
    if not lock.exists():
        return {}
    noted = json.loads(lock.read_text())
    if noted["wanted"] != list(wanted):
        return {}
    found = {}
    for name, entry in noted["packages"].items():
        path = debs / entry["file"]
        if not path.exists() or _digest(path) != entry["sha256"]:
            return {}
        found[name] = path
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(debs: Iterable[Path], folder: Path) -> None:
    """Unpack packages into one folder; no maintainer script runs.

    Raises:
        DemoError: dpkg-deb fails.
    """
    for deb in debs:
        try:
            run(["dpkg-deb", "-x", deb, folder])
        except DemoError as error:
            raise DemoError(f"{deb.name}: {error.message}", "remove it and try again") from error
