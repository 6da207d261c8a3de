"""Profiles that are wrong, and the exact lines they must print."""

import re
from pathlib import Path

import pytest

from builder.profile.codes import CODES
from builder.profile.load import LARGEST_BYTES, load, parse
from builder.profile.problems import ProfileError
from tests.builder.mistakes import MISTAKES

EXAMPLE = (Path(__file__).parents[2] / "profiles/example.toml").read_text()
SECRET = "$6$saltsalt$hunter2hunter2hunter2hunter2!"  # noqa: S105


def lines(text: str | bytes) -> list[str]:
    raw = text.encode() if isinstance(text, str) else text
    with pytest.raises(ProfileError) as caught:
        parse(raw, "pair.toml")
    return [problem.line("pair.toml") for problem in caught.value.problems]


def changed(old: str, new: str) -> str:
    assert EXAMPLE.count(old) == 1, old
    return EXAMPLE.replace(old, new)


def warned(text: str) -> list[str]:
    return [warning.code for warning in parse(text.encode(), "pair.toml").warnings]


@pytest.mark.parametrize(
    ("name", "codes"), [("example", ["KS144"]), ("dl380g6", ["KS144"]), ("lab", ["KS134"] * 2)]
)
def test_shipped_profiles_are_valid(root: Path, name: str, codes: list[str]) -> None:
    """The lab's servers have one BMC each and nothing beside it; the others pin no key."""
    profile = load(root / f"profiles/{name}.toml")
    assert [node.name for node in profile.profile.node] == ["justinian", "julius"]
    assert [warning.code for warning in profile.warnings] == codes


def test_a_pinned_key_is_not_warned_of() -> None:
    pinned = f'gpg_key = "key"\ngpg_fingerprint = "{"AB" * 20}"'
    assert warned(EXAMPLE.replace("[install]", f"[install]\n{pinned}")) == []


def place(text: str, needle: str) -> str:
    at = text.rindex(needle)
    return f"{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


@pytest.mark.parametrize(("old", "new", "at", "expected"), MISTAKES)
def test_a_mistake_is_named_at_its_place(old: str, new: str, at: str, expected: str) -> None:
    text = changed(old, new)
    found = [line for line in lines(text) if "KS116" not in line]
    assert len(found) == 1
    assert found[0].startswith(f"pair.toml:{place(text, at)}: error[{expected}")


def test_every_mistake_at_once() -> None:
    text = changed("mtu = 9000", "mtu = 1\nmiimon_ms = 0").replace(
        'ports = ["00:25:B3:22:D9:3C', 'ports = ["00-25'
    )
    assert [line.split("]: ")[1].split(":")[0] for line in lines(text)] == [
        "crossover.mtu",
        "crossover.miimon_ms",
        "node[0].uplink.ports[0",
    ]


def test_rules_are_checked_beside_mistakes_that_are_not_needed_to_understand() -> None:
    text = changed("mtu = 9000", "mtuu = 9000").replace('"CZC00014A2"', '"CZC00014A1"')
    assert [line.split("[")[1][:5] for line in lines(text)] == ["KS103", "KS121"]


def test_without_a_fence_device_there_is_no_shared_file_system() -> None:
    text = EXAMPLE[: EXAMPLE.rindex("[[node.fencing]]")]
    text = text[: text.rindex("[[node.fencing]]")]
    (line,) = lines(text)
    assert f"{place(text, '[[node]]')}: error[KS130]: node[1]: no fence device for julius" in line


def test_a_second_level_is_asked_for_in_one_sentence() -> None:
    text = EXAMPLE[: EXAMPLE.rindex("[[node.fencing]]")]
    warning, _ = parse(text.encode(), "pair.toml").warnings
    assert warning.line("pair.toml").startswith(
        f"pair.toml:{place(text, '[[node.fencing]]')}: warning[KS134]: node[1].fencing: only one"
    )
    assert "when julius loses all power its BMC dies with it" in warning.message


def test_a_tagged_uplink_reaches_its_repositories() -> None:
    """The boot line brings it up (tests/builder/test_kickstart.py)."""
    text = EXAMPLE.replace("[crossover]\nmode", "[uplink]\nvlan = 5\n\n[crossover]\nmode")
    assert warned(text) == ["KS144"]


def test_crossover_ports_may_be_left_to_the_agent() -> None:
    """On one node alone as well; what names the server is its serial number and its uplink."""
    ports = '["00:25:B3:22:D9:3D", "00:25:B3:22:D9:3E", "00:25:B3:22:D9:3F"]'
    found = parse(changed(ports, '"auto"').encode(), "pair.toml")
    assert found.profile.node[0].crossover.ports == []
    assert len(found.profile.node[1].crossover.ports) == 3
    assert "node[0].crossover.ports" in lines(changed(ports, '"automatic"'))[0]


def test_a_disk_over_2_tib_is_fine_as_the_system_lies_at_its_head() -> None:
    text = EXAMPLE.replace("[900, 1000]", "[7000, 7500]")
    assert warned(text) == ["KS144"]


def test_every_code_is_explained_and_used() -> None:
    source = Path(load.__code__.co_filename).parent
    used = {
        code
        for path in source.rglob("*.py")
        if path.name != "codes.py"
        for code in re.findall(r"KS1\d\d", path.read_text())
    }
    assert used == set(CODES)


def test_a_name_of_digits_needs_quotes_and_the_hint_says_so() -> None:
    with pytest.raises(ProfileError) as caught:
        parse(changed('"00014"  ', "00014  ").encode(), "pair.toml")
    (problem,) = caught.value.problems
    assert (problem.code, problem.position.line) == ("KS102", 5)
    assert "quotes" in problem.hint


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("mtu = 9000", "mtu = 9000\nmtu = 9000", "mtu = 9000"),
        ("[storage]", "[storage]\n[storage]", "[storage]"),
        ("[[bridge]] ", "[bridge]\n[[bridge]] ", "[[bridge]]"),
        ("disk = { size_gib = [900, 1000] }", "disk = { wwn = '1', wwn = '2' }", "disk = { wwn"),
    ],
)
def test_a_key_or_table_twice(old: str, new: str, line: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse(EXAMPLE.replace(old, new, 1).encode(), "pair.toml")
    (problem,) = caught.value.problems
    assert problem.line("pair.toml").endswith("KS102]: this key or table stands in the file twice")
    text = EXAMPLE.replace(old, new, 1)
    twice = text.count("\n", 0, text.index(new) + new.rindex(line)) + 1
    assert problem.position.line == twice
    assert "[[node]]" in problem.hint


def test_unknown_keys_are_met_with_the_known_ones() -> None:
    with pytest.raises(ProfileError) as caught:
        parse(EXAMPLE.replace("gateway", "gatevay", 1).encode(), "pair.toml")
    hints = [problem.hint for problem in caught.value.problems if problem.code == "KS103"]
    assert hints == ["did you mean gateway?"]


@pytest.mark.parametrize("key", ["root_password_hash", "ssh_keys"])
def test_secret_values_are_never_printed(key: str) -> None:
    value = f'"{SECRET}"' if key == "root_password_hash" else f'["{SECRET}"]'
    text = (
        EXAMPLE[: EXAMPLE.index("[access]")]
        + f"[access]\n{key} = {value}\n"
        + EXAMPLE[EXAMPLE.index("[storage]") :]
    )
    found = lines(text)
    assert found
    assert "hunter2" not in "".join(found)


def test_nobody_could_log_in() -> None:
    text = EXAMPLE[: EXAMPLE.index("ssh_keys")] + EXAMPLE[EXAMPLE.index("[storage]") :]
    says = "error[KS120]: access: nobody could log in to these nodes"
    assert lines(text) == [f"pair.toml:{place(text, '[access]')}: {says}"]


def test_texts_that_are_no_profile() -> None:
    assert lines(b"[pair]\nname = '\xff'\n") == ["pair.toml:2:9: error[KS101]: not UTF-8"]
    assert [line.split(": ", 1)[1] for line in lines("")] == [
        "error[KS104]: pair: is missing",
        "error[KS104]: node: is missing",
    ]
    (large,) = lines(b"#" * (10 * 1024 * 1024))
    assert f"larger than {LARGEST_BYTES}" in large
    (deep,) = lines("a = " + "[" * 100_000)
    assert "KS102" in deep
