"""What validate says of accounts and addresses that a node makes in its own BMC, or can't."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from builder.cli import main
from builder.plan.pair import pair
from builder.profile.load import load
from builder.profile.problems import ProfileError
from firstboot.node import SCHEMA, Identity, from_json, to_json

ROOT = Path(__file__).parents[2]


def problems_of(profile: Path) -> list[tuple[str, str]]:
    try:
        load(profile)
    except ProfileError as error:
        return [(problem.code, problem.message) for problem in error.problems]
    return []


def example(folder: Path, bmc: str, more: str = "") -> Path:
    """The example profile with that agent, and further keys of justinian's BMC."""
    text = (ROOT / "profiles/example.toml").read_text().replace('"ilo4"', f'"{bmc}"')
    text = text.replace('address = "10.0.1.112"\n', f'address = "10.0.1.112"\n{more}\n')
    (folder / "pair.toml").write_text(text)
    return folder / "pair.toml"


@pytest.mark.parametrize(
    ("agent", "more", "warned"),
    [
        ("ilo4", "", []),
        ("redfish", "", ["node[0].fencing[0]", "node[1].fencing[0]"]),
        ("redfish", 'password_file = "/root/bmc"', ["node[1].fencing[0]"]),
    ],
)
def test_what_can_not_be_promised_of_redfish_is_said(
    tmp_path: Path, agent: str, more: str, warned: list[str]
) -> None:
    found = load(example(tmp_path, agent, more)).warnings
    warnings = [warning for warning in found if warning.code == "KS135"]
    assert [warning.key for warning in warnings] == warned
    assert all("made over IPMI; whether this BMC lets it in" in w.message for w in warnings)


SET = "set_address = "


@pytest.mark.parametrize(
    ("agent", "more", "problem"),
    [
        ("ilo4", SET + '{ prefix = 22, gateway = "10.0.3.254" }', ""),
        ("redfish", SET + "{ prefix = 22 }", ""),
        (
            "ilo4",
            SET + '{ prefix = 24, gateway = "10.0.3.254" }',
            "no other address in 10.0.1.0/24",
        ),
        (
            "ilo4",
            SET + '{ prefix = 22, gateway = "10.0.1.112" }',
            "no other address in 10.0.0.0/22",
        ),
        (
            "ilo4",
            SET + '{ prefix = 22, gateway = "10.0.3.255" }',
            "no other address in 10.0.0.0/22",
        ),
        ("ilo4", SET + "{ prefix = 28 }", "10.0.1.112 is the network's own or broadcast address"),
    ],
)
def test_an_address_that_a_node_sets_has_to_make_sense(
    tmp_path: Path, agent: str, more: str, problem: str
) -> None:
    found = problems_of(example(tmp_path, agent, more))
    assert [code for code, _ in found] == (["KS136"] if problem else [])
    assert all(problem in message for _, message in found)


def test_an_address_needs_a_bmc_and_is_set_once(tmp_path: Path) -> None:
    profile = example(tmp_path, "ilo4", SET + "{ prefix = 22 }")
    text = profile.read_text()
    profile.write_text(text.replace('fence_pdu"', f'fence_pdu"\n{SET}{{ prefix = 22 }}', 1))
    assert problems_of(profile) == [("KS136", "a custom device is no BMC of this node")]
    second = f'agent = "redfish"\naddress = "10.0.1.114"\n{SET}{{ prefix = 22 }}'
    profile.write_text(text.replace('agent = "custom"\ncommand = "/usr/sbin/fence_pdu"', second, 1))
    assert problems_of(profile) == [
        ("KS136", "justinian has one BMC, and its address is set already")
    ]
    profile.write_text(text.replace('"10.0.1.112"', '"bmc.example.org"'))
    assert problems_of(profile) == [("KS136", "address has to be an IPv4 address, not a name")]


def test_without_in_band_ipmi_no_address_is_set(tmp_path: Path) -> None:
    text = (ROOT / "profiles/lab.toml").read_text()
    file = 'password_file = "/root/bmc-password"'
    (tmp_path / "lab.toml").write_text(
        text.replace(file, f"{file}, set_address = {{ prefix = 24 }}", 1)
    )
    assert problems_of(tmp_path / "lab.toml") == [("KS136", "debian12-lab has no in-band IPMI")]


def test_the_address_reaches_the_node(tmp_path: Path) -> None:
    profile = load(example(tmp_path, "ilo4", SET + '{ prefix = 22, gateway = "10.0.3.254" }'))
    planned = pair(profile.profile)
    bmcs = [node.fencing[0] for node in planned.nodes]
    assert [bmc.set_address for bmc in bmcs] == ["10.0.1.112/22", None]
    assert [bmc.set_gateway for bmc in bmcs] == ["10.0.3.254", None]
    identity = Identity(SCHEMA, "justinian", planned)
    assert from_json(to_json(identity)) == identity


def test_the_plan_says_so(tmp_path: Path) -> None:
    profile = example(tmp_path, "ilo4", SET + "{ prefix = 22 }")
    said = CliRunner().invoke(main, ["plan", str(profile)], catch_exceptions=False).output
    assert "level 1: ilo4 10.0.1.112/22, set by the node\n" in said
    assert "level 1: ilo4 10.0.1.113\n" in said


def test_a_platform_without_in_band_ipmi_needs_one(tmp_path: Path) -> None:
    text = (ROOT / "profiles/lab.toml").read_text()
    assert not [p for p in problems_of(ROOT / "profiles/lab.toml") if p[0] == "KS135"]
    (tmp_path / "lab.toml").write_text(text.replace(', password_file = "/root/bmc-password"', ""))
    found = [p for p in problems_of(tmp_path / "lab.toml") if p[0] == "KS135"]
    assert len(found) == 2
