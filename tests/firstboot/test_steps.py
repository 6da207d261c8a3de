"""Each step on a machine laid out below a temporary root, with every command it may run."""

from pathlib import Path
from typing import Optional, Union

import pytest

from firstboot import latches
from firstboot.commands import CommandError
from firstboot.engine import Refused
from firstboot.node import partition_uuid
from firstboot.rendezvous.session import Meeting, NotMet, State
from firstboot.steps import Context
from firstboot.steps.firewall import Firewall
from firstboot.steps.meet import Rendezvous
from firstboot.steps.preflight import Preflight
from tests.firstboot.conftest import MACS, PAIR_ID, ScriptedRun, Told, an_identity

# `ip -j -d link show` of iproute2 6.1, cut to the keys in use: a plain port, a port of a bond
# (its own address in permaddr), the bond.
LINKS = [
    {"ifname": "lo", "link_type": "loopback", "address": "00:00:00:00:00:00", "operstate": "UP"},
    {"ifname": "eno1", "link_type": "ether", "address": MACS[0].lower(), "operstate": "UP"},
    {
        "ifname": "eno2",
        "link_type": "ether",
        "address": MACS[0].lower(),
        "permaddr": MACS[1].lower(),
        "operstate": "UP",
        "linkinfo": {"info_slave_kind": "bond"},
    },
    {
        "ifname": "bond0",
        "link_type": "ether",
        "address": MACS[2].lower(),
        "operstate": "UP",
        "linkinfo": {"info_kind": "bond"},
    },
]
SHOW_LINKS = "ip -j -d link show"
SHOW_BOND = "ip -j address show dev bond0"
ADDRESSES = [{"ifname": "bond0", "addr_info": [{"local": "127.0.7.1", "prefixlen": 24}]}]


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


@pytest.fixture
def context(tmp_path: Path, run: ScriptedRun, told: Told) -> Context:
    identity = an_identity()
    return Context(identity, tmp_path, run, told, Meeting(identity, tmp_path, "boot"))


def lay(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text + "\n")


def lay_disk(root: Path, start: int) -> None:
    links = root / "dev/disk/by-partuuid"
    links.mkdir(parents=True)
    (links / partition_uuid(PAIR_ID, "justinian", "data")).symlink_to("../../sda6")
    lay(root, "sys/class/block/sda6/start", str(start))


def lay_machine(root: Path, *, name: str = "justinian", serial: str = "CZC1") -> None:
    lay(root, "proc/sys/kernel/hostname", name)
    lay(root, "sys/class/dmi/id/product_serial", serial)
    for module, version in (("drbd", "9.2.14"), ("gfs2", ""), ("dlm", "")):
        lay(root, f"sys/module/{module}/version", version)
    lay(root, "sys/fs/selinux/enforce", "1")
    lay(root, "proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu vme vmx ssse3")


def lay_bond(root: Path, *, ports: str = "eno1 eno2", mtu: int = 9000) -> None:
    lay(root, "sys/class/net/bond0/bonding/mode", "balance-rr 0")
    lay(root, "sys/class/net/bond0/bonding/miimon", "100")
    lay(root, "sys/class/net/bond0/bonding/slaves", ports)
    lay(root, "sys/class/net/bond0/mtu", str(mtu))


def test_preflight_on_the_right_machine(context: Context, run: ScriptedRun) -> None:
    lay_machine(context.root)
    lay_disk(context.root, 75497472)
    run.expect("dmesg")
    assert not Preflight(context).check()


@pytest.mark.parametrize(
    ("name", "serial", "start", "evidence"),
    [
        ("julius", "CZC1", 75497472, "called 'julius'"),
        ("justinian", "CZC2", 75497472, "serial number is 'CZC2'"),
        ("justinian", "CZC1", None, "no partition carries"),
        ("justinian", "CZC1", 75497472 - 2048, "starts at sector 75495424"),
        ("justinian", "CZC1", 75497473, "starts at sector 75497473"),
    ],
)
def test_preflight_refuses(
    context: Context, name: str, serial: str, start: Optional[int], evidence: str
) -> None:
    lay_machine(context.root, name=name, serial=serial)
    if start is not None:
        lay_disk(context.root, start)
    with pytest.raises(Refused) as caught:
        Preflight(context).check()
    assert evidence in caught.value.evidence
    assert caught.value.way_out


RELOAD = (
    "busctl --timeout=300 call org.fedoraproject.FirewallD1 /org/fedoraproject/FirewallD1"
    " org.fedoraproject.FirewallD1 reload"
)


def test_firewall(context: Context, run: ScriptedRun) -> None:
    step = Firewall(context)
    run.expect("firewall-cmd --get-zones", "public drop\n")
    run.expect("firewall-cmd --get-policies", "\n")
    assert len(step.check()) == 4
    run.expect(RELOAD)
    step.apply()
    known = run.expect("firewall-cmd --get-zones", "public crossover\n")
    known.expect("firewall-cmd --get-policies", "ksbuild-uplink\n")
    assert not step.check()
    run.assert_finished()


def test_firewalld_is_told_after_a_crash(context: Context, run: ScriptedRun) -> None:
    run.expect(RELOAD, returncode=1)
    with pytest.raises(CommandError):
        Firewall(context).apply()
    for _ in range(2):
        run.expect("firewall-cmd --get-zones", "public crossover\n")
        run.expect("firewall-cmd --get-policies", "ksbuild-uplink\n")
        run.expect(RELOAD)
    step = Firewall(context)
    assert step.check() == ["firewalld has not read its files yet"]
    step.apply()
    assert not step.check()


class FakeMeeting(Meeting):
    """Answers that come one after another; start() listens nowhere."""

    def __init__(self, context: Context, answers: list[Union[State, NotMet]]) -> None:
        super().__init__(context.identity, context.root, "boot")
        self.answers = answers

    def start(self) -> None:
        """Listen nowhere."""

    def ask(self) -> State:
        answer = self.answers.pop(0)
        if isinstance(answer, NotMet):
            raise answer
        self._peer = answer
        return answer


def meeting_step(context: Context, answers: list[Union[State, NotMet]]) -> Rendezvous:
    met = Context(context.identity, context.root, context.run, context.report,
                  FakeMeeting(context, answers))  # fmt: skip
    return Rendezvous(met, sleep=lambda _: None)


def test_rendezvous_waits_until_both_agree(context: Context, told: Told) -> None:
    there, agreed = State("b", (), frozenset(), {}), State("b", (), frozenset({"rendezvous"}), {})
    step = meeting_step(context, [NotMet("no route"), NotMet("no route"), there, there, agreed])
    assert step.check() == ["julius at 127.0.7.2/24 was not met yet"]
    step.apply()
    assert not step.check()
    waits = [("rendezvous", "waiting", why) for why in ("no route", "no route", "for julius")]
    assert told.events == [*waits, waits[-1]]


def test_rendezvous_refuses_another_plan(context: Context) -> None:
    step = meeting_step(
        context, [State("b", ("pair.crossover.mtu",), frozenset({"rendezvous"}), {})]
    )
    with pytest.raises(Refused, match=r"pair\.crossover\.mtu"):
        step.apply()
    assert step.check()


def test_a_complete_node_has_met_its_peer(context: Context) -> None:
    latches.set_once(context.root, latches.COMPLETE, "")
    assert not meeting_step(context, []).check()
