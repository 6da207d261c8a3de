"""What a kickstart says is compared with the profile: each difference, made by hand, is seen."""

import re
from collections.abc import Callable

import pytest
from pykickstart.handlers.control import commandMap
from pykickstart.parser import KickstartParser
from pykickstart.version import RHEL9, returnClassForVersion

from builder.errors import KickstartError
from builder.plan import Plan, readback
from builder.plan.packages import packages
from builder.profile.model import Access, Profile, User
from tests.builder.conftest import planned

HASH = "$6$abcdefgh$" + "x" * 86
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBjL0sVZ2sGkYYyVQ6i2J8c9mW3q1m7nqk1hJ0o5d8Zk"
KEYS = [f"{KEY} root@one", f"{KEY} with a comment"]


@pytest.fixture
def profile(example: Plan) -> Profile:
    """The example with everything about access that a profile may have."""
    users = [
        User(name="eva", groups=["wheel", "kvm"], password_hash=HASH, ssh_keys=KEYS),
        User(name="adam"),
    ]
    access = Access(ssh_keys=KEYS, root_password_hash=HASH, users=users)
    more = ["vim-enhanced", "@virtualization-client", "@^minimal-environment"]
    install = example.profile.install.model_copy(update={"packages": more})
    return example.profile.model_copy(update={"access": access, "install": install})


def changed(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new, 1)

    return change


CHANGES = {
    "root is open": (changed(f"rootpw --iscrypted '{HASH}'", "rootpw --lock"), "root's password"),
    "plain": (changed("rootpw --iscrypted", "rootpw --plaintext"), "root's password"),
    "another hash": (changed(f"--iscrypted '{HASH}'", "--iscrypted '$6$y'"), "root's password"),
    "a user less": (changed("user --name=adam", "group --name=adam"), "pykickstart rejects"),
    "another user": (changed("user --name=adam", "user --name=cain"), "users"),
    "a group more": (changed("--groups=wheel,kvm", "--groups=wheel"), "users"),
    "a user open": (changed("user --name=adam --lock", "user --name=adam"), "locked or hashed"),
    "his password": (
        changed("--groups=wheel,kvm --iscrypted", "--groups=wheel,kvm --plaintext"),
        "locked or hashed",
    ),
    "a key less": (changed("sshkey --username=root", "sshkey --username=eva"), "SSH keys"),
    "a key cut short": (changed(KEYS[1], KEYS[1].split(" with")[0]), "SSH keys"),
    "a package less": (changed("\nvim-enhanced\n", "\n"), "packages"),
    "a package more": (changed("\nvim-enhanced\n", "\nvim-enhanced\nemacs\n"), "packages"),
    "one left out": (changed("\nvim-enhanced\n", "\nvim-enhanced\n-dracut\n"), "packages"),
    "a group of packages": (changed("@virtualization-client\n", ""), "packages"),
    "the environment": (changed("@^minimal-environment\n", ""), "packages"),
    "the zone": (changed("timezone Europe/Berlin", "timezone Europe/Paris"), "time zone"),
    "local time": (changed(" --utc\n", "\n"), "time zone"),
    "the clock": (changed("ntp-server=ntp.example.org", "ntp-server=x.example.org"), "time serv"),
    "the language": (changed("lang en_US.UTF-8", "lang de_DE.UTF-8"), "language"),
    "the keyboard": (changed("keyboard us", "keyboard de"), "keyboard"),
    "a repository": (changed("--baseurl=https://repo", "--baseurl=https://evil"), "repositories"),
    "the address": (changed("--ip=10.0.0.1", "--ip=10.0.0.9"), "network lines"),
    "a start": (changed("start=$((2048 / unit))", "start=$((4096 / unit))"), "partitions"),
    "a size": (changed("size=$((2048 / unit))", "size=$((1024 / unit))"), "partitions"),
    "a file system": (changed("part / --fstype=xfs", "part / --fstype=ext4"), "file systems"),
    "another one": (changed("--onpart=${at[root]}", "--onpart=${at[data]}"), "file systems"),
    "the data": (
        changed("part swap", "part /data --fstype=xfs --onpart=${at[data]}\npart swap"),
        "file systems",
    ),
    "kept": (changed("part / --fstype=xfs", "part / --noformat --fstype=xfs"), "file systems"),
    "every disk": (changed("ignoredisk --only-use=$disk", "ignoredisk --only-use=sda"), "disks"),
    "an argument": (changed("console=tty0 console", "nomodeset console"), "kernel arguments"),
    "two of %pre": (lambda text: f"{text}\n%pre\ntrue\n%end\n", "%pre"),
}


def check(text: str, profile: Profile) -> None:
    repositories = {r.name: r.url or "" for r in profile.install.repositories}
    readback.check(text, profile, profile.node, set(packages(profile)), repositories)


def test_what_was_rendered_is_what_was_meant(profile: Profile) -> None:
    check(planned(profile).either, profile)


@pytest.mark.parametrize("name", CHANGES)
def test_a_difference_is_seen(profile: Profile, name: str) -> None:
    change, words = CHANGES[name]
    with pytest.raises(KickstartError) as refused:
        check(change(planned(profile).either), profile)
    assert words in str(refused.value)
    assert HASH not in str(refused.value)


@pytest.mark.filterwarnings("ignore:An ssh user with the name")
def test_the_small_handler_is_the_whole_one(profile: Profile) -> None:
    """All commands that a kickstart of ours uses are read as RHEL 9's own handler reads them."""
    text = planned(profile).either
    whole = returnClassForVersion(RHEL9)()
    KickstartParser(whole, missingIncludeIsFatal=False).readKickstartFromString(text)
    small = readback.parse(text)
    assert len(small.commands) < len(whole.commands) / 2
    for name, command in small.commands.items():
        assert isinstance(command, commandMap[RHEL9][name])
        assert str(command) == str(whole.commands[name])
    assert str(small.packages) == str(whole.packages)


HIDDEN = """\
%pre --interpreter=/bin/bash --erroronfail
cat <<END
%nothing of theirs
  %sections
END
  %end
%post
%end
%onerror

lang xx_XX
%end of it
lang de_DE
"""


def test_a_script_is_read_to_where_it_ends(profile: Profile) -> None:
    """Its lines are left out of what is read again, and its end is where it was."""
    for text in (planned(profile).either, HIDDEN, HIDDEN.replace("%end of it", "%endless")):
        outcomes: list[object] = []
        for each in (text, readback._outline(text)):
            try:
                read = readback.parse(each)
            except KickstartError as error:
                outcomes.append(re.sub(r"line \d+", "line", str(error)))
                continue
            scripts = [(s.type, s.interp, s.errorOnFail, s.logfile) for s in read.scripts]
            names = re.findall(r"^[a-z]+", readback._outline(text), re.MULTILINE)
            outcomes.append((scripts, {name: str(read.commands.get(name)) for name in names}))
        assert outcomes[0] == outcomes[1]


def test_nothing_of_one_kickstart_is_left_for_the_next() -> None:
    """Parsers of options are made once; the first text uses options that the second does not."""
    first = """\
network --device=aa --bootproto=static --ip=10.0.0.1 --netmask=255.0.0.0 --vlanid=5
user --name=one --groups=a,b --lock
repo --name=x --baseurl=http://x.invalid/ --proxy=http://proxy.invalid/
bootloader --append="one two"
"""
    second = "network --device=bb --bootproto=dhcp\nuser --name=two\n"
    second += "repo --name=y --baseurl=http://y.invalid/\nbootloader --location=mbr\n"
    readback.parse(first)
    read = readback.parse(second)
    whole = returnClassForVersion(RHEL9)()
    KickstartParser(whole, missingIncludeIsFatal=False).readKickstartFromString(second)
    for name, command in read.commands.items():
        assert str(command) == str(whole.commands[name])
        theirs = {k: v for k, v in vars(whole.commands[name]).items() if isinstance(v, str | bool)}
        assert {k: v for k, v in vars(command).items() if k in theirs} == theirs
    for number in (3, 1):
        text = "\n" * number + "user --nonsense\n"
        with pytest.raises(KickstartError, match=f"line {number + 1}|on line {number + 1}"):
            readback.parse(text)
