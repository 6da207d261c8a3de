"""What lets hacluster tell, and what people see of it: whom, by which way, and who can't be."""

import json
from pathlib import Path
from typing import Optional

import pytest

from firstboot import progress, teller
from firstboot.__main__ import main
from firstboot.exits import OK, REFUSED
from firstboot.render import alerts as rendered
from tests.firstboot.conftest import an_identity
from tests.firstboot.test_alerting import PAGE_TOKEN, Servers, lay, servers, told_by

__all__ = ["servers"]


def typed(root: Path, *words: str) -> int:
    return main(["--root", str(root), "alert", *words])


def test_people_see_whom_it_tells(
    tmp_path: Path, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path, told_by(servers), servers, hook=False)
    assert typed(tmp_path) == OK
    relay, web = servers.relay.server_address[1], servers.web.server_address[1]
    assert capsys.readouterr().out == (
        f"mail: to ada@example.org, bob@example.org from pair@example.org by 127.0.0.1:{relay}\n"
        "webhook: /root/webhook can't be read, so no webhook is told; put its URL there, 0600\n"
        f"progress page: http://127.0.0.1:{web}\n"
    )
    (tmp_path / teller.MEMORY).unlink()
    assert typed(tmp_path, "--test") == REFUSED
    assert "next: ksnode run" in capsys.readouterr().err


def test_nobody_to_tell(
    tmp_path: Path, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    lay(tmp_path, an_identity("julius", "debian12-lab"), servers)
    (tmp_path / progress.CONFIGURATION).unlink()
    teller.provide(an_identity("julius", "debian12-lab"), tmp_path)
    assert typed(tmp_path) == OK
    assert capsys.readouterr().out == "nobody is told\n"
    assert typed(tmp_path, "--test") == REFUSED


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        (None, 0, "can't be read, so no webhook is told; put its URL there, 0600"),
        ("http://a.example/t0ken", 0o640, "can be read by others, so no webhook is told; chmod"),
        ("t0ken", 0o600, "does not begin with a URL"),
        ("", 0o600, "does not begin with a URL"),
        ("\xff", 0o600, "can't be read"),
    ],
)
def test_a_webhooks_file_that_will_not_do(
    tmp_path: Path, servers: Servers, text: Optional[str], mode: int, why: str
) -> None:
    identity = told_by(servers)
    if text is not None:
        (tmp_path / "root").mkdir()
        (tmp_path / "root/webhook").write_text(text, encoding="latin-1")
        (tmp_path / "root/webhook").chmod(mode)
    url, fault = teller.webhook(identity, tmp_path)
    assert url is None
    assert fault.startswith("/root/webhook ")
    assert why in fault
    assert "t0ken" not in fault


def test_the_secrets_are_for_that_user_alone(tmp_path: Path, servers: Servers) -> None:
    identity = told_by(servers)
    lay(tmp_path, identity, servers)
    path = tmp_path / teller.SECRET
    assert path.stat().st_mode & 0o7777 == 0o600
    assert json.loads(path.read_text())["progress"]["token"] == PAGE_TOKEN
    assert not [f for f in rendered.render(identity) if "t0ken" in f.text or PAGE_TOKEN in f.text]
    (tmp_path / "root/webhook").write_text("https://example.org/other\n")
    assert teller.missing(identity, tmp_path) == [f"/{teller.SECRET} is not as it should be"]
    teller.provide(identity, tmp_path)
    assert json.loads(path.read_text())["webhook"] == "https://example.org/other"
    path.chmod(0o644)
    assert teller.missing(identity, tmp_path) == [f"/{teller.SECRET} is not as it should be"]
    folder = tmp_path / "usr/local/libexec/ksbuild"
    folder.chmod(0o700)
    assert f"{folder} is closed to hacluster" in teller.missing(identity, tmp_path)
    teller.provide(identity, tmp_path)
    assert teller.missing(identity, tmp_path) == []
    assert folder.stat().st_mode & 0o7777 == 0o755


def test_where_no_pacemaker_is_installed_nothing_is_done(tmp_path: Path, servers: Servers) -> None:
    teller.provide(told_by(servers), tmp_path)
    assert teller.missing(told_by(servers), tmp_path) == []
    assert list(tmp_path.iterdir()) == []
