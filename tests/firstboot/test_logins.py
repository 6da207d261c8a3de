"""authorized_keys: the plan's keys come and go, everybody else's stay, and no link leads astray."""

import os
from pathlib import Path

import pytest

from firstboot.engine import Refused, converge
from firstboot.node import Account, Identity
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.logins import Logins, changed
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_steps import lay

ONE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5one one@example"
TWO = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5two two@example"
HANDS = 'from="10.0.0.9" ssh-rsa AAAAB3NzaC1yc2Ehands somebody put it here'


@pytest.mark.parametrize(
    ("text", "gone", "wanted", "expected"),
    [
        ("", (), (), ""),
        ("", (), (ONE,), f"{ONE}\n"),
        (f"{ONE}\n", (), (ONE,), f"{ONE}\n"),
        (ONE, (), (ONE,), ONE),
        (ONE, (), (TWO,), f"{ONE}\n{TWO}\n"),
        (f"{ONE}\n{HANDS}\n", (ONE,), (TWO,), f"{HANDS}\n{TWO}\n"),
        (f"# {ONE}\n{ONE}\n", (ONE,), (), f"# {ONE}\n"),
        (f'command="x" {ONE}\n', (ONE,), (), ""),
        (f"{ONE}\n", (ONE,), (f"{ONE} renamed",), f"{ONE}\n"),
        (f"{ONE}\n\n{HANDS}", (ONE,), (), f"{HANDS}\n"),
    ],
)
def test_lines(
    text: str, gone: "tuple[str, ...]", wanted: "tuple[str, ...]", expected: str
) -> None:
    assert changed(text, gone, wanted) == expected
    assert changed(expected, gone, wanted) == expected


def step(root: Path, wanted: "tuple[Account, ...]", other: "tuple[Account, ...]") -> Logins:
    whole = an_identity()
    pair = whole.pair.__class__(**{**vars(whole.pair), "accounts": wanted})
    identity = Identity(whole.schema, whole.node, pair)
    run, meeting = ScriptedRun(), Meeting(identity, root, "boot")
    return Logins(Context(identity, root, run, Told(), meeting), other)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    me = f"{os.getuid()}:{os.getgid()}"
    lay(
        tmp_path, "etc/passwd", f"root:x:{me}:root:/root:/bin/bash\nada:x:{me}::/home/ada:/bin/sh\n"
    )
    lay(tmp_path, "root/.ssh/authorized_keys", f"{ONE}\n{HANDS}\n")
    (tmp_path / "home/ada").mkdir(parents=True)
    return tmp_path


def test_keys_come_and_go_and_come_back(root: Path) -> None:
    before = (Account("root", (ONE,)), Account("ada", ()))
    after = (Account("root", (TWO,)), Account("ada", (ONE,)))
    for wanted, other in ((after, before), (before, after)):
        made = step(root, wanted, other)
        assert made.check() == [f"the keys of {n} are not as planned" for n in ("root", "ada")]
        assert converge([made], Told(), has=lambda _: True)
        assert not step(root, wanted, other).check()
    assert (root / "root/.ssh/authorized_keys").read_text() == f"{HANDS}\n{ONE}\n"
    assert (root / "home/ada/.ssh/authorized_keys").read_text() == ""
    made_anew = root / "home/ada/.ssh"
    assert (
        made_anew.stat().st_mode & 0o777,
        (made_anew / "authorized_keys").stat().st_mode & 0o777,
    ) == (0o700, 0o600)
    assert [path.name for path in made_anew.iterdir()] == ["authorized_keys"]


def test_an_account_that_is_not_there(root: Path) -> None:
    with pytest.raises(Refused, match="there is no account bob") as refused:
        step(root, (Account("bob", (ONE,)),), ()).check()
    assert "useradd bob" in refused.value.way_out
    assert not step(root, (), (Account("bob", (ONE,)),)).check(), "nobody logs in as nobody"
    assert not step(root, (Account("bob", ()),), ()).check()


@pytest.mark.parametrize("link", [".ssh", ".ssh/authorized_keys"])
def test_what_a_user_puts_in_the_way_is_not_followed(root: Path, link: str) -> None:
    lay(root, "etc/ssh/authorized_keys", "not to be changed")
    place = root / "home/ada" / link
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(root / ("etc/ssh" if link == ".ssh" else "etc/ssh/authorized_keys"))
    made = step(root, (Account("ada", (ONE,)),), ())
    with pytest.raises(Refused, match="lies behind a link"):
        converge([made], Told(), has=lambda _: True)
    assert (root / "etc/ssh/authorized_keys").read_text() == "not to be changed\n"
    assert os.listdir(root / "etc/ssh") == ["authorized_keys"]
