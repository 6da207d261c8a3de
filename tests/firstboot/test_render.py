"""NetworkManager's files, each through NetworkManager's own reader."""

import configparser
import subprocess
from dataclasses import replace

import pytest

from firstboot.configfile import ConfigFile
from firstboot.node import Bridge, Identity, Uplink
from firstboot.render import render
from tests.firstboot.conftest import an_identity

# What NetworkManager 1.42 writes besides what it was given: its default.
ADDED = {("ipv6", "addr-gen-mode"), ("vlan", "flags")}


def an_uplink(ports: int, vlan: "int | None", mode: str = "active-backup") -> Identity:
    """A node with so many uplink ports, and its own addresses in that VLAN."""
    identity = an_identity()
    macs = tuple(f"52:54:00:01:01:0{n}" for n in range(1, ports + 1))
    first, second = identity.pair.nodes
    bridges = (*identity.pair.bridges, Bridge("guests", 9, ()))
    first = replace(first, uplink=replace(first.uplink, ports=macs))
    uplink = Uplink(mode, vlan, 9000)
    return replace(
        identity,
        pair=replace(identity.pair, nodes=(first, second), uplink=uplink, bridges=bridges),
    )


UPLINKS = {
    "plain": an_identity(),
    "one-tagged": an_uplink(1, 5),
    "two": an_uplink(2, None),
    "two-tagged": an_uplink(2, 5, "802.3ad"),
}


def keyfiles(identity: Identity) -> dict[str, ConfigFile]:
    files = [f for f in render(identity) if f.path.suffix == ".nmconnection"]
    return {f.path.stem: f for f in files}


def keys(text: str) -> dict[tuple[str, str], str]:
    parser = configparser.ConfigParser(interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {(s, k): v for s in parser.sections() for k, v in parser[s].items()}


def read_back(text: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["nmcli", "--offline", "connection", "modify", "connection.autoconnect", "yes"],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("uplink", "name"), [(u, name) for u in UPLINKS for name in keyfiles(UPLINKS[u])]
)
def test_networkmanager_keeps_every_key(uplink: str, name: str) -> None:
    """Unknown keys vanish without an error, so what comes back is compared with what went in."""
    text = keyfiles(UPLINKS[uplink])[name].text
    done = read_back(text)
    assert done.returncode == 0, done.stderr
    came = keys(done.stdout)
    assert {k: v for k, v in came.items() if k not in ADDED} == keys(text)


def test_a_misspelt_key_would_be_noticed() -> None:
    text = keyfiles(an_identity())["ks-bond0-port1"].text.replace("mac-address=", "mac-adress=")
    done = read_back(text)
    assert done.returncode == 0
    assert ("ethernet", "mac-adress") not in keys(done.stdout)


def test_keyfiles_are_private_and_ports_are_named_by_mac() -> None:
    files = keyfiles(an_identity())
    assert {file.mode for file in files.values()} == {0o600}
    macs = [keys(f.text)["ethernet", "mac-address"] for n, f in files.items() if "bond0-port" in n]
    assert tuple(macs) == an_identity().me.crossover_ports
    uuids = {keys(file.text)["connection", "uuid"] for file in files.values()}
    assert len(uuids) == len(files)


def test_the_bond_takes_the_ports_that_were_found() -> None:
    found = render(an_identity(), ports=("52:54:00:01:00:03",))
    ports = [f for f in found if "ks-bond0-port" in f.path.name]
    assert [keys(f.text)["ethernet", "mac-address"] for f in ports] == ["52:54:00:01:00:03"]


@pytest.mark.parametrize(
    ("uplink", "chain"),
    [
        ("plain", {"ks-uplink-port1": "br0", "ks-uplink.8": "br0.8"}),
        ("one-tagged", {"ks-uplink.5": "br0", "ks-uplink.8": "br0.8", "ks-uplink.9": "guests"}),
        (
            "two",
            {
                "ks-uplink": "br0",
                "ks-uplink-port1": "uplink",
                "ks-uplink-port2": "uplink",
                "ks-uplink.8": "br0.8",
                "ks-uplink.9": "guests",
            },
        ),
        (
            "two-tagged",
            {
                "ks-uplink.5": "br0",
                "ks-uplink-port1": "uplink",
                "ks-uplink-port2": "uplink",
                "ks-uplink.8": "br0.8",
                "ks-uplink.9": "guests",
            },
        ),
    ],
)
def test_what_lies_in_what(uplink: str, chain: dict[str, str]) -> None:
    files = {n: keys(f.text) for n, f in keyfiles(UPLINKS[uplink]).items() if "bond0" not in n}
    found = {
        n: k["connection", "master"] for n, k in files.items() if ("connection", "master") in k
    }
    assert found == chain
    base = "ks-uplink" if "ks-uplink" in files else "ks-uplink-port1"
    parents = {k["vlan", "parent"] for k in files.values() if ("vlan", "parent") in k}
    assert parents == {files[base]["connection", "uuid"]}
    untouched = [n for n in files if n not in chain and not n.startswith("ks-uplink")]
    assert [n for n in untouched if n not in {"ks-br0", "ks-br0.8", "ks-guests"}] == []


def test_each_node_has_its_own_addresses() -> None:
    for node, own, guests in (
        ("justinian", "10.0.0.1/22,10.0.3.254", "10.0.8.112/22"),
        ("julius", "10.0.0.2/22,10.0.3.254", "10.0.8.113/22"),
    ):
        files = keyfiles(an_identity(node))
        assert keys(files["ks-br0"].text)["ipv4", "address1"] == own
        assert keys(files["ks-br0.8"].text)["ipv4", "address1"] == guests
        assert ("ipv4", "never-default") not in keys(files["ks-br0"].text)
        assert keys(files["ks-br0.8"].text)["ipv4", "never-default"] == "true"
