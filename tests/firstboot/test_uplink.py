"""The uplink's decisions: what differs, whose profiles go, and in which order."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import files, links, profiles
from firstboot.commands import CommandError
from firstboot.engine import Refused
from firstboot.node import Bridge
from firstboot.profiles import Profile
from firstboot.render import networkmanager
from firstboot.render.networkmanager import uplink
from firstboot.rendezvous.session import Meeting
from firstboot.steps import Context
from firstboot.steps.uplink import Uplink
from tests.firstboot.conftest import ScriptedRun, Told, an_identity
from tests.firstboot.test_render import UPLINKS

SHOW = "ip -j -d address show"
ROUTE = "ip -j -4 route show default dev br0"
PROFILES = "nmcli -t -e no -f UUID,TYPE,NAME connection show"
GATEWAY = json.dumps([{"dst": "default", "gateway": "10.0.3.254", "dev": "br0"}])
FOLDER = "/etc/NetworkManager/system-connections"


def link(name: str, kind: str = "", **more: object) -> "dict[str, object]":
    info: dict[str, object] = {"info_kind": kind} if kind else {}
    info["info_data"] = {k: more.pop(k) for k in ("id", "mode") if k in more}
    own = {"ifname": name, "link_type": "ether", "mtu": more.pop("mtu", 1500), "linkinfo": info}
    address = more.pop("address", "02:00:00:00:00:00")
    return {**own, "address": address, **more}


def bridge(name: str, address: str, prefix: int, mtu: int = 1500) -> "dict[str, object]":
    return link(name, "bridge", mtu=mtu, addr_info=[{"local": address, "prefixlen": prefix}])


PORT = "52:54:00:01:00:00"
# `ip -j -d address show` of iproute2 6.1, cut to the keys in use: the uplink as it should be.
PLAIN = [
    {"ifname": "lo", "link_type": "loopback", "address": "00:00:00:00:00:00", "mtu": 65536},
    link("eno1", address=PORT, master="br0"),
    bridge("br0", "10.0.0.1", 22),
    bridge("br0.8", "10.0.8.112", 22),
    link("uplink.8", "vlan", id=8, link="eno1", master="br0.8"),
]
# The same node as the installer left it.
FRESH = [link("eno1", address=PORT, addr_info=[{"local": "10.0.0.1", "prefixlen": 22}])]


@pytest.fixture
def run() -> ScriptedRun:
    return ScriptedRun()


@pytest.fixture
def context(tmp_path: Path, run: ScriptedRun, told: Told) -> Context:
    identity = an_identity()
    return Context(identity, tmp_path, run, told, Meeting(identity, tmp_path, "boot"))


def step(context: Context) -> Uplink:
    return Uplink(context, sleep=lambda _: None)


def installers(run: ScriptedRun) -> None:
    run.expect(PROFILES, "u-1:802-3-ethernet:eno1\nu-2:bridge:virbr0\nu-3:loopback:lo\n")
    shown = f"connection.interface-name:\n802-3-ethernet.mac-address:{PORT}\n"
    run.expect("nmcli -t -e no connection show uuid u-1", shown)


def converged(run: ScriptedRun) -> None:
    run.expect(SHOW, json.dumps(PLAIN)).expect(ROUTE, GATEWAY)
    run.expect(PROFILES, "u-4:bridge:ks-br0\nu-5:802-3-ethernet:ks-uplink-port1\n")


def test_from_the_installers_profile_to_ours(context: Context, run: ScriptedRun) -> None:
    """The installer's goes last, when ours carry the network."""
    run.expect(SHOW, json.dumps(FRESH))
    installers(run)
    missing = step(context).check()
    assert "there is no bridge br0" in missing
    assert missing[-1] == "the profile 'eno1' would take a port"
    run.expect(SHOW, json.dumps(FRESH))
    installers(run)
    run.expect("nmcli general reload conf")
    run.expect(f"nmcli connection load {FOLDER}/ks-uplink-port1.nmconnection")
    run.expect("nmcli connection reload").expect(SHOW, json.dumps(FRESH))
    run.expect("nmcli --wait 90 connection up id ks-br0")
    run.expect("nmcli --wait 90 connection up id ks-br0.8")
    run.expect(SHOW, json.dumps(PLAIN)).expect(ROUTE, GATEWAY)
    run.expect("nmcli connection delete uuid u-1")
    step(context).apply()
    converged(run)
    assert not step(context).check()
    run.assert_finished()


def test_while_ours_do_not_come_up_the_installers_stays(context: Context, run: ScriptedRun) -> None:
    run.expect(SHOW, json.dumps(FRESH))
    installers(run)
    run.expect("nmcli general reload conf")
    run.expect(f"nmcli connection load {FOLDER}/ks-uplink-port1.nmconnection")
    run.expect("nmcli connection reload").expect(SHOW, json.dumps(FRESH))
    run.expect("nmcli --wait 90 connection up id ks-br0", returncode=4)
    with pytest.raises(CommandError):
        step(context).apply()
    run.assert_finished()
    converged(run)
    assert step(context).check() == ["NetworkManager has not read its files yet"]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"ifname": "eno1", "master": "virbr0"}, "eno1 is not in br0"),
        ({"ifname": "br0", "mtu": 9000}, "br0 has MTU 9000"),
        ({"ifname": "br0", "addr_info": []}, "br0 has no address 10.0.0.1/22"),
        ({"ifname": "uplink.8", "link": "eno2"}, "uplink.8 is not VLAN 8 of eno1"),
        ({"ifname": "uplink.8", "master": None}, "uplink.8 is not in br0.8"),
        ({"ifname": "br0.8", "linkinfo": {"info_kind": "dummy"}}, "there is no bridge br0.8"),
    ],
)
def test_each_difference_is_named(changed: "dict[str, object]", line: str) -> None:
    shown = [{**one, **changed} if one["ifname"] == changed["ifname"] else one for one in PLAIN]
    faults = links.uplink_faults(an_identity(), links.parse(json.dumps(shown)))
    assert [line] == [text for lines in faults.values() for text in lines]
    assert not links.uplink_faults(an_identity(), links.parse(json.dumps(PLAIN)))


def test_a_bond_below_and_a_tagged_bridge() -> None:
    """Two ports in VLAN 5; a port of a bond shows the bond's MAC, and its own in permaddr."""
    identity = UPLINKS["two-tagged"]
    first, second = identity.me.uplink.ports
    whole = [
        link("eno1", address=first, master="uplink", mtu=9000),
        link("eno2", address=first, permaddr=second, master="uplink", mtu=9000),
        link("uplink", "bond", mode="802.3ad", mtu=9000),
        bridge("br0", "10.0.0.1", 22, 9000),
        bridge("br0.8", "10.0.8.112", 22, 9000),
        link("guests", "bridge", mtu=9000),
        *(
            link(f"uplink.{n}", "vlan", id=n, link="uplink", master=above, mtu=9000)
            for n, above in ((5, "br0"), (8, "br0.8"), (9, "guests"))
        ),
    ]
    assert not links.uplink_faults(identity, links.parse(json.dumps(whole)))
    whole[1]["master"] = None
    whole[2]["linkinfo"] = {"info_kind": "bond", "info_data": {"mode": "active-backup"}}
    assert links.uplink_faults(identity, links.parse(json.dumps(whole))) == {
        "br0": ["uplink is not a bond in mode 802.3ad", "eno2 is not in uplink"]
    }


def test_no_way_out_is_a_difference(context: Context, run: ScriptedRun) -> None:
    run.expect(SHOW, json.dumps(PLAIN)).expect(ROUTE, "[]").expect(PROFILES)
    assert "no way out by 10.0.3.254" in step(context).check()


def test_none_of_the_ports_is_refused(context: Context, run: ScriptedRun) -> None:
    run.expect(SHOW, json.dumps([link("eno9", address="52:54:00:09:00:00")]))
    with pytest.raises(Refused, match="52:54:00:01:00:00 is in this machine; it has 52:54:00:09"):
        step(context).check()


ETHERNET = "802-3-ethernet"


@pytest.mark.parametrize(
    ("profile", "goes"),
    [
        (Profile("u", "eno1", ETHERNET, "", PORT.lower(), "", ""), True),
        (Profile("u", "eno1", ETHERNET, "eno1", "", "", ""), True),
        (Profile("u", "any port", ETHERNET, "", "", "", ""), True),
        (Profile("u", "eno1.5", "vlan", "eno1.5", "", "eno1", "5"), True),
        (Profile("u", "other", ETHERNET, "eno7", "", "", ""), False),
        (Profile("u", "other", ETHERNET, "eno1", "52:54:00:09:00:00", "", ""), False),
        (Profile("u", "eno7.5", "vlan", "eno7.5", "", "eno7", "5"), False),
    ],
)
def test_whose_profiles_go(profile: Profile, goes: bool) -> None:
    assert (profiles.for_ports([profile], {"eno1"}, {PORT}) == [profile]) == goes


def test_a_vlan_goes_with_the_profile_it_names() -> None:
    below = Profile("u-1", "eno1", ETHERNET, "", PORT, "", "")
    vlan = Profile("u-2", "eno1.5", "vlan", "eno1.5", "", "u-1", "5")
    assert profiles.for_ports([vlan, below], {"eno1"}, {PORT}) == [below, vlan]


def another(tmp_path: Path, run: ScriptedRun, told: Told, bridges: "tuple[Bridge, ...]") -> Uplink:
    """The step of a node that has the plan's network, by a plan with other bridges."""
    identity = an_identity()
    files.write(tmp_path, (networkmanager.settings(), *uplink.render(identity)))
    wanted = replace(identity, pair=replace(identity.pair, bridges=bridges))
    context = Context(wanted, tmp_path, run, told, Meeting(wanted, tmp_path, "boot"))
    return Uplink(context, sleep=lambda _: None)


def looks(run: ScriptedRun, kernels: object) -> None:
    run.expect(SHOW, json.dumps(kernels)).expect(ROUTE, GATEWAY)


def loads(run: ScriptedRun) -> None:
    run.expect("nmcli general reload conf")
    run.expect(f"nmcli connection load {FOLDER}/ks-uplink-port1.nmconnection")
    run.expect("nmcli connection reload")


NINE = [link("br0.9", "bridge"), link("uplink.9", "vlan", id=9, link="eno1", master="br0.9")]


def test_one_vlan_more_leaves_the_others_up(tmp_path: Path, run: ScriptedRun, told: Told) -> None:
    """Guests on br0 and br0.8 keep their network: only the new bridge is brought up."""
    made = another(tmp_path, run, told, (*an_identity().pair.bridges, Bridge("br0.9", 9, ())))
    run.expect(SHOW, json.dumps(PLAIN)).expect(PROFILES)
    loads(run)
    looks(run, PLAIN)
    run.expect("nmcli --wait 90 connection up id ks-br0.9")
    looks(run, [*PLAIN, *NINE])
    made.apply()
    looks(run, [*PLAIN, *NINE])
    run.expect(PROFILES)
    assert not made.check()
    run.assert_finished()


def test_a_vlan_less_takes_its_own_profiles_away(
    tmp_path: Path, run: ScriptedRun, told: Told
) -> None:
    made = another(tmp_path, run, told, ())
    hands = tmp_path / FOLDER.lstrip("/") / "somebody's.nmconnection"
    crossover = hands.with_name("ks-bond0-port1.nmconnection")
    for kept in (hands, crossover):
        kept.touch()
    looks(run, PLAIN)
    run.expect(PROFILES)
    assert made.check() == [
        "ks-br0.8.nmconnection is left over",
        "ks-uplink.8.nmconnection is left over",
    ]
    run.expect(SHOW, json.dumps(PLAIN)).expect(PROFILES)
    run.expect("nmcli connection delete id ks-br0.8")
    run.expect("nmcli connection delete id ks-uplink.8", returncode=10)
    loads(run)
    looks(run, PLAIN[:3])
    looks(run, PLAIN[:3])
    made.apply()
    looks(run, PLAIN[:3])
    run.expect(PROFILES)
    assert not made.check()
    assert hands.exists()
    assert crossover.exists()
    run.assert_finished()


def test_a_bridge_that_changes_is_brought_up_also_after_a_crash(
    tmp_path: Path, run: ScriptedRun, told: Told
) -> None:
    made = another(tmp_path, run, told, (Bridge("br0.8", 8, ("10.0.8.114/22", "10.0.8.115/22")),))
    run.expect(SHOW, json.dumps(PLAIN)).expect(PROFILES)
    run.expect("nmcli general reload conf", returncode=1)
    with pytest.raises(CommandError):
        made.apply()
    new = [*PLAIN[:3], bridge("br0.8", "10.0.8.114", 22), PLAIN[4]]
    looks(run, new)
    run.expect(PROFILES)
    assert made.check() == ["NetworkManager, of br0.8, has not read its files yet"]
    run.expect(SHOW, json.dumps(new)).expect(PROFILES)
    loads(run)
    looks(run, new)
    run.expect("nmcli --wait 90 connection up id ks-br0.8")
    looks(run, new)
    made.apply()
    run.assert_finished()
