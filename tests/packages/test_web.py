"""Repositories on a real web server and on an installation medium."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.media.source import open_source
from builder.packages.errors import RepositoryError
from builder.packages.medium import read_source
from builder.packages.resolve import resolve
from builder.packages.web import read_url
from tests.media.sources import el9_tree, master
from tests.packages.rpms import Rpm, repository
from tests.packages.webserver import Handler, Site, certificate, serving

RPMS = [Rpm("a", requires=("/opt/b",)), Rpm("b", files=("/opt/b",))]


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    return tmp_path / "ca.pem"


@pytest.fixture
def site(tmp_path: Path, trusted: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = repository(tmp_path / "repo", RPMS)
    context, made = certificate(tmp_path)
    assert made == trusted
    with serving(context) as found:
        for path in (folder / "repodata").iterdir():
            found.files[f"/os/repodata/{path.name}"] = path.read_bytes()
        yield found


def test_url(site: Site, trusted: Path) -> None:
    found = read_url(f"{site.url}/os/", name="AppStream", ca=str(trusted))
    assert found.name == "AppStream"
    resolution = resolve([found], ["a"])
    assert resolution.problems == ()
    assert [package.name for package in resolution.chosen] == ["a", "b"]
    assert any("filelists" in path for path, _ in site.asked)


def refused(url: str, ca: Path | None = None) -> str:
    with pytest.raises(RepositoryError) as caught:
        read_url(url, ca=str(ca) if ca else None)
    assert caught.value.hint
    assert "hidden" not in caught.value.message
    return caught.value.message


def test_refused(site: Site, trusted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = site.url.replace("://", "://user:hidden@")
    assert "certificate that is not trusted" in refused(f"{secret}/os")
    assert "answers 404" in refused(f"{secret}/nothing", trusted)
    assert "no http or https URL" in refused("ftp://user:hidden@127.0.0.1/os")
    assert "no http or https URL" in refused("/a/folder")
    monkeypatch.setattr("builder.packages.web.MOST_BYTES", 10)
    assert "more than 10 bytes" in refused(f"{secret}/os", trusted)


def test_altered_on_the_way(site: Site, trusted: Path) -> None:
    primary = next(path for path in site.files if "primary.xml" in path)
    site.files[primary] = site.files[primary] + b"!"
    assert "is not what repomd.xml says" in refused(f"{site.url}/os", trusted)


def test_cut_and_away_from_https(site: Site, trusted: Path) -> None:
    index = site.files["/os/repodata/repomd.xml"]
    site.odd["/os/repodata/repomd.xml"] = lambda h: h.give(index, etag="", most=9)
    assert "broke the connection" in refused(f"{site.url}/os", trusted)

    with serving() as plain:
        plain.files["/repomd.xml"] = index

        def away(handler: Handler) -> None:
            handler.send_response(302)
            handler.send_header("Location", f"{plain.url}/repomd.xml")
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        site.odd["/os/repodata/repomd.xml"] = away
        assert "away from https" in refused(f"{site.url}/os", trusted)


def test_medium(demo_source: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    el9_tree(demo_source, tree)
    for name in ("images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"):
        (tree / name).write_bytes(b"x")
    repository(tree / "BaseOS", [Rpm("a", requires=("/opt/b",)), Rpm("kernel")])
    repository(tree / "AppStream", RPMS[1:])
    for path in tree.glob("*.spec"):
        path.unlink()
    for path in tree.glob("*.build"):
        shutil.rmtree(path)
    master(tree, tmp_path / "dvd.iso")
    with open_source(tmp_path / "dvd.iso") as source:
        found = read_source(source)
        assert [repository.name for repository in found] == ["BaseOS", "AppStream"]
        assert resolve(found, ["a", "kernel"]).problems == ()
        (problem,) = resolve(found, ["pacemaker"]).problems
    assert problem.text == (
        "pacemaker, wanted by the profile, is in none of: BaseOS, AppStream; "
        "it lives in HighAvailability"
    )


def test_boot_iso_has_none(demo_source: Path) -> None:
    with open_source(demo_source) as source:
        assert read_source(source) == ()
