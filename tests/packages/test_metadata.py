"""Damaged, hostile and unusual repositories."""

import contextlib
import gzip
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.packages import rich
from builder.packages.errors import RepositoryError
from builder.packages.folder import read_folder
from builder.packages.modules import module_of
from builder.packages.resolve import resolve
from builder.packages.version import Capability
from builder.packages.xml import children
from tests.packages.rpms import Rpm, repository, run

RPMS = [Rpm("a", "1:2~rc1-3", ("b >= 1", "(c if d)"), ("v = 2",), files=("/etc/a", "/opt/a"))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return repository(tmp_path / "repo", RPMS)


def refused(folder: Path) -> str:
    with pytest.raises(RepositoryError) as caught:
        read_folder(folder)
    assert str(folder) in caught.value.message
    assert caught.value.hint
    return caught.value.message


def test_a_package(folder: Path) -> None:
    (package,) = read_folder(folder, name="Own").packages
    assert str(package) == "a-1:2~rc1-3.noarch"
    assert package.repository == "Own"
    assert package.location == "a-2~rc1-3.noarch.rpm"
    assert package.size == (folder / package.location).stat().st_size
    digest = hashlib.sha256((folder / package.location).read_bytes()).hexdigest()
    assert package.checksum == ("sha256", digest)
    assert Capability("b", "GE", "0:1") in package.requires
    assert Capability("(c if d)") in package.requires
    assert Capability("v", "EQ", "0:2") in package.provides
    assert package.files == ("/etc/a",)


def test_file_lists_are_read_when_asked(folder: Path) -> None:
    found = read_folder(folder)
    assert found.owners(frozenset({"/opt/a", "/opt/b"})) == {"/opt/a": list(found.packages)}
    next((folder / "repodata").glob("*filelists.xml.gz")).unlink()
    assert len(read_folder(folder).packages) == 1
    with pytest.raises(RepositoryError, match="No such file"):
        found.owners(frozenset({"/opt/a"}))


@pytest.mark.parametrize("packed", ["gz", "xz", "bz2"])
def test_packed(tmp_path: Path, packed: str) -> None:
    options = (f"--general-compress-type={packed}",)
    assert read_folder(repository(tmp_path / "repo", RPMS, options=options)).packages


def test_zstd_is_named(folder: Path) -> None:
    index = folder / "repodata" / "repomd.xml"
    index.write_text(re.sub(r"primary\.xml\.gz", "primary.xml.zst", index.read_text()))
    primary = next((folder / "repodata").glob("*primary.xml.gz"))
    primary.rename(primary.with_suffix(".zst"))
    if sys.version_info < (3, 14):
        assert "zstd" in refused(folder)


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match=r"repomd\.xml: No such file") as caught:
        read_folder(tmp_path)
    assert caught.value.hint == f"make the repository: createrepo_c {tmp_path}"


def test_altered(folder: Path) -> None:
    primary = next((folder / "repodata").glob("*primary.xml.gz"))
    content = primary.read_bytes()
    primary.write_bytes(content[:-1] + b"!")
    assert "is not what repomd.xml says" in refused(folder)
    primary.write_bytes(content[:-9])
    assert "bytes found" in refused(folder)


def index_of(folder: Path, primary: bytes, *, name: str = "primary.xml", kind: str = "") -> Path:
    """A repository whose primary.xml is `primary`, checksum and all."""
    (folder / "repodata").mkdir(parents=True)
    (folder / "repodata" / name).write_bytes(primary)
    kind = kind or f'sha256">{hashlib.sha256(primary).hexdigest()}'
    (folder / "repodata" / "repomd.xml").write_text(
        f'<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary">'
        f'<checksum type="{kind}</checksum><location href="repodata/{name}"/></data></repomd>'
    )
    return folder


BOMB = b"""<?xml version="1.0"?><!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<metadata><package><name>&b;</name></package></metadata>"""
EXTERNAL = b"""<!DOCTYPE m [<!ENTITY a SYSTEM "file:///etc/passwd">]><metadata>&a;</metadata>"""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BOMB, "document type declaration"),
        (EXTERNAL, "document type declaration"),
        (b"<metadata>&a;</metadata>", "undefined entity"),
        (b"<metadata><package>", "not well-formed"),
        (b"<a>" * 100_000, "levels deep"),
        (b"", "not well-formed"),
        (b"\x00\xff" * 500, "not well-formed"),
        (b"<metadata><package/></metadata>", "no name or architecture"),
        (b"<metadata><package><name>a</name><arch>b</arch></package></metadata>", "cannot be read"),
    ],
)
def test_hostile(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refused(index_of(tmp_path / "repo", content))


def test_bomb_of_gzip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builder.packages.metadata._MOST_UNPACKED", 10_000_000)
    packed = gzip.compress(b"<metadata>" + b" " * 50_000_000)
    assert "unpacks to more than" in refused(
        index_of(tmp_path / "repo", packed, name="primary.xml.gz")
    )


def test_places_outside(tmp_path: Path) -> None:
    for number, place in enumerate(("../../etc/passwd", "/etc/passwd", "http://x/y", "a/../../b")):
        folder = index_of(tmp_path / str(number), b"<metadata/>")
        index = folder / "repodata" / "repomd.xml"
        index.write_text(index.read_text().replace("repodata/primary.xml", place))
        assert "lies outside" in refused(folder)


def test_weak_checksum_proves_nothing(tmp_path: Path) -> None:
    weak = index_of(tmp_path / "repo", b"<metadata/>", kind='md5">00')
    assert "of type 'md5', which proves nothing" in refused(weak)


@given(st.binary(max_size=200))
def test_any_bytes(content: bytes) -> None:
    with contextlib.suppress(ValueError):
        list(children([content]))


MODULES = """---
document: modulemd
version: 2
data:
  name: nodejs
  stream: "18"
  artifacts:
    rpms:
    - a-1:2~rc1-3.noarch
    - other-0:1-1.x86_64
...
"""


def test_modular_packages_are_named(folder: Path) -> None:
    (folder.parent / "modules.yaml").write_text(MODULES)
    run("modifyrepo_c", "--mdtype=modules", folder.parent / "modules.yaml", folder / "repodata")
    found = read_folder(folder)
    assert [package.module for package in found.packages] == ["nodejs:18"]
    (problem,) = resolve([found], ["a"]).problems
    assert problem.kind == "modular"
    assert problem.text == "a, wanted by the profile, is only in module nodejs:18 of repo"
    assert module_of([MODULES[:70].encode(), MODULES[70:].encode()]) == module_of(
        [MODULES.encode()]
    )


RICH = [
    "(a if b)",
    "(a if b else c)",
    "(a or b or c)",
    "(libc.so.6(GLIBC_2.34)(64bit) and b >= 1:2-3)",
    "((a and b) if (c or d))",
    "(a >= 1 with a < 2)",
    "(a without b)",
    "(a unless b else c)",
]


@pytest.mark.parametrize("text", RICH)
def test_boolean_dependencies(text: str) -> None:
    assert str(rich.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "(a",
        "(a if)",
        "(a xor b)",
        "(a and b or c)",
        "a)",
        "(a b)",
        "()",
        "(" * 99,
        "(a if b else c else d)",
    ],
)
def test_no_boolean_dependencies(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        rich.parse(text)


def test_large_repositories_take_little_memory(tmp_path: Path, root: Path) -> None:
    """20 000 packages in the proportions of EL9's AppStream, under 100 MB at the peak."""
    folder = index_of(tmp_path / "repo", gzip.compress(large(20_000), 1), name="primary.xml.gz")
    measured = subprocess.run(
        [
            sys.executable,
            "-c",
            "import re, sys; from pathlib import Path\n"
            "from builder.packages.folder import read_folder\n"
            "from builder.packages.resolve import resolve\n"
            "found = resolve([read_folder(Path(sys.argv[1]))], ['p9999'])\n"
            # Not getrusage: what it says begins with the peak of the process that forked.
            "status = Path('/proc/self/status').read_text()\n"
            "print(len(found.chosen), re.search(r'VmHWM:\\s*(\\d+)', status)[1])",
            folder,
        ],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
        timeout=240,
    ).stdout
    chosen, kilobytes = map(int, measured.split())
    assert chosen > 1000
    assert kilobytes < 100_000


def large(count: int) -> bytes:
    return b"<metadata>%s</metadata>" % b"".join(map(large_package, range(count)))


def large_package(n: int) -> bytes:
    provides = (
        "".join(f'<entry name="lib{n}.so.{i}(V_{i})(64bit)"/>' for i in range(8))
        + f'<entry name="p{n}" flags="EQ" epoch="0" ver="{n}.1" rel="1.el9"/>'
    )
    requires = "".join(
        f'<entry name="lib{n - 7**k}.so.{k}(V_{k})(64bit)"/>' for k in range(5) if n >= 7**k
    )
    requires += "".join(
        f'<entry name="libc.so.6(GLIBC_2.{k})(64bit)"/>' for k in range(8) if n > 99
    )
    if n == 50:
        provides += "".join(f'<entry name="libc.so.6(GLIBC_2.{k})(64bit)"/>' for k in range(8))
    text = (
        f"<package><name>p{n}</name><arch>x86_64</arch>"
        f'<version epoch="0" ver="{n}.1" rel="1.el9"/>'
        f'<checksum type="sha256">{hashlib.sha256(str(n).encode()).hexdigest()}</checksum>'
        f"<summary>{'s' * 80}</summary><description>{'d' * 400}</description>"
        f'<size package="1000"/><location href="Packages/p{n}.rpm"/><format><provides>{provides}'
        f"</provides><requires>{requires}</requires><file>/usr/bin/p{n}</file></format></package>"
    )
    return text.encode()
