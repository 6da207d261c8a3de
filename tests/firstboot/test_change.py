"""What of a pair can change in its life: every field has its answer, and the answers are right."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, Optional, get_args, get_type_hints

import pytest

from firstboot import change, links
from firstboot.change import FIELDS, LIVE, NOT_OURS, REINSTALL, differences
from firstboot.configfile import ConfigFile
from firstboot.node import SCHEMA, Account, Bridge, FenceDevice, Identity, Pair
from firstboot.render import (
    alerts,
    chrony,
    cib,
    corosync,
    dlm,
    drbd,
    firewalld,
    hosts,
    kernel,
    ksm,
    render,
    selinux,
    sshd,
    systemd,
)
from firstboot.render.networkmanager import uplink
from tests.firstboot.conftest import a_pair, an_identity

NODES = [node.name for node in a_pair().nodes]


def leaves(kind: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each field below a dataclass, that of what a tuple holds included, and its type."""
    for field in fields(kind):
        hint = get_type_hints(kind)[field.name]
        inner = next((arg for arg in get_args(hint) if is_dataclass(arg)), None)
        below = hint if is_dataclass(hint) else inner
        name = f"{path}.{field.name}" if path else field.name
        if below is None:
            yield name, hint
        else:
            yield from leaves(below, name)


LEAVES = dict(leaves(Pair))


def test_every_field_is_classified_and_nothing_else() -> None:
    assert FIELDS.keys() == LEAVES.keys()


def other(value: Any, hint: Any) -> Any:
    """Some other value of the type."""
    if hint in (Optional[str], Optional[int]):
        hint = get_args(hint)[0]
    if hint is bool:
        return not value
    if hint is int:
        return (value or 0) + 7
    if hint is str:
        return {"el9": "debian12-lab"}.get(value, f"{value}x")
    return (*value, "10.9.9.9")


def altered(holder: Any, path: str, hint: Any) -> Any:
    """The dataclass with another value there; of several things in a tuple the first is altered."""
    name, _, rest = path.partition(".")
    value = getattr(holder, name)
    if not rest:
        return replace(holder, **{name: other(value, hint)})
    if isinstance(value, tuple):
        return replace(holder, **{name: (altered(value[0], rest, hint), *value[1:])})
    return replace(holder, **{name: altered(value, rest, hint)})


@pytest.mark.parametrize("path", LEAVES)
def test_a_change_of_each_field_is_found_and_is_what_it_is(path: str) -> None:
    found = differences(a_pair(), altered(a_pair(), path, LEAVES[path]))
    assert {difference.way for difference in found} == {FIELDS[path]}
    last = path.rpartition(".")[2]
    assert all(last == "name" or difference.path.endswith(last) for difference in found)


# What each step writes; the crossover's profiles and DRBD's, libvirt's files are nobody's here.
OWN = {
    change.UPLINK: uplink.render,
    change.FIREWALL: firewalld.render,
    change.HOST: lambda i: (
        *(*hosts.render(i), *selinux.render(i), *chrony.render(i), *sshd.render(i)),
        *(*kernel.render(i), *alerts.render(i)),
    ),
    change.LOGINS: lambda _: (),
    change.RESYNC: drbd.render,
    change.CLUSTER: lambda i: (
        *(*corosync.render(i), *dlm.render(i), *cib.render(i), *systemd.render(i)),
    ),
    change.MEMORY: ksm.render,
}


@pytest.mark.parametrize("path", [p for p, way in FIELDS.items() if way.how != REINSTALL])
@pytest.mark.parametrize("node", NODES)
def test_the_steps_of_a_field_write_all_that_it_changes(path: str, node: str) -> None:
    """So that what is left as it is was no part of it, and no drift is made."""
    before = Identity(SCHEMA, node, a_pair())
    after = Identity(SCHEMA, node, altered(a_pair(), path, LEAVES[path]))
    steps = FIELDS[path].steps
    theirs: set[ConfigFile] = {file for step in steps for file in OWN[step](after)}
    assert set(render(after)) - set(render(before)) <= theirs
    gone = {f.path for f in render(before)} - {f.path for f in render(after)}
    assert not gone or steps == (change.UPLINK,), "the uplink alone takes profiles away"


def test_what_is_new_gone_and_changed_is_said_in_one_line_each() -> None:
    before = a_pair()
    eight, nine = Bridge("br0.8", 8, ()), Bridge("br0.9", 9, ())
    after = replace(before, bridges=(eight, nine), ksm=replace(before.ksm, sleep_ms=20))
    assert [str(difference) for difference in differences(before, after)] == [
        '~ bridges.br0.8.addresses: ["10.0.8.112/22","10.0.8.113/22"] -> [] (in life)',
        '+ bridges.br0.9: {"addresses":[],"name":"br0.9","vlan":9} (in life)',
        "~ ksm.sleep_ms: 10 -> 20 (in life)",
    ]
    (gone,) = differences(before, replace(before, bridges=()))
    assert str(gone).startswith('- bridges.br0.8: {"addresses":')
    assert not differences(before, before)


def test_the_order_of_nodes_counts_as_who_they_are() -> None:
    first, second = a_pair().nodes
    (difference,) = differences(a_pair(), replace(a_pair(), nodes=(second, first)))
    assert difference.way.how == REINSTALL


def test_a_fence_device_more_is_not_for_a_living_pair() -> None:
    first, second = a_pair().nodes
    pdu = FenceDevice(2, "custom", None, None, "u", None, "/usr/sbin/fence_apc")
    more = replace(first, fencing=(*first.fencing, pdu))
    (difference,) = differences(a_pair(), replace(a_pair(), nodes=(more, second)))
    assert (difference.path, difference.way.how) == ("nodes.justinian.fencing.2", REINSTALL)


def test_steps_come_with_the_network_first() -> None:
    pair = a_pair()
    after = replace(
        pair,
        ksm=replace(pair.ksm, enabled=False),
        accounts=(*pair.accounts, Account("admin", ())),
        time_servers=("ntp.example",),
        bridges=(),
        drbd=replace(pair.drbd, resync_mib_s=100),
        guests=replace(pair.guests, migrations=4),
    )
    found = differences(pair, after)
    assert change.steps(found) == change.ORDER
    assert not change.needs_reinstall(found)
    assert {difference.way.how for difference in found} == {LIVE, NOT_OURS}


def shown(name: str, kind: str, above: str) -> links.Link:
    return links.Link(name, kind, "", 1500, None, above, None, None, frozenset())


KERNELS = [
    *(shown("uplink.8", "vlan", "br0.8"), shown("eno1", "", "br0"), shown("vnet0", "tun", "br0.8")),
    *(shown("vnet1", "tun", "br0"), shown("vnet2", "tun", "virbr0")),
]


@pytest.mark.parametrize(
    ("field", "value", "guests"),
    [
        ("bridges", (*a_pair().bridges, Bridge("br0.9", 9, ())), []),
        ("bridges", (), ["vnet0 on br0.8"]),
        ("bridges", (Bridge("br0.8", 18, a_pair().bridges[0].addresses),), ["vnet0 on br0.8"]),
        ("uplink", replace(a_pair().uplink, mtu=9000), ["vnet0 on br0.8", "vnet1 on br0"]),
        ("time_servers", ("ntp.example",), []),
    ],
)
def test_guests_on_what_goes_down_are_found(field: str, value: Any, guests: "list[str]") -> None:
    before = an_identity()
    after = replace(before, pair=replace(before.pair, **{field: value}))
    assert change.guests_in_the_way(before, after, KERNELS) == guests
