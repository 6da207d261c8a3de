"""ksbuild as a user meets it: results, refusals, exit statuses, nothing left behind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from builder.cli import COMMANDS, main
from builder.media.boot import verify_boot_medium
from tests.media.sources import demo_source, el9_iso

__all__ = ["demo_source", "el9_iso"]

ROOT = Path(__file__).parents[2]


def ksbuild(*arguments: "str | Path") -> Result:
    """Run ksbuild; an `iso` does not ask the example's repositories, which are far away."""
    if arguments[0] == "iso":
        arguments += ("--offline",)
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "pair.toml"
    path.write_bytes((ROOT / "profiles/example.toml").read_bytes())
    return path


def test_help_says_each_command_whole_in_the_order_of_its_use() -> None:
    _, listed = ksbuild("--help").output.split("Commands:\n")
    assert "..." not in listed
    assert [line.split()[0] for line in listed.splitlines()] == list(COMMANDS)


def test_validate(profile: Path) -> None:
    good = ksbuild("validate", profile)
    assert (good.exit_code, good.stdout) == (0, f"{profile}: pair 00014 is valid\n")
    assert "warning[KS144]: install: no key is pinned" in good.stderr
    profile.write_text(profile.read_text().replace("mtu = 9000", "mtuu = 9000"))
    line = profile.read_text().split("mtuu")[0].count("\n") + 1
    bad = ksbuild("validate", profile)
    assert bad.exit_code == 3
    assert f"{profile}:{line}:1: error[KS103]: crossover.mtuu: unknown key" in bad.stderr
    assert "hint: did you mean mtu?" in bad.stderr
    assert "next: ksbuild explain KS103" in bad.stderr
    github = ksbuild("validate", "--format", "github", profile)
    assert github.stdout == (
        f"::error file={profile},line={line},col=1,title=KS103::crossover.mtuu: unknown key\n"
    )
    assert ksbuild("explain", "ks103").output.startswith("KS103: unknown key\n")
    assert ksbuild("explain", "KS999").exit_code == 2
    machine = ksbuild("validate", "--json", profile)
    assert machine.exit_code == 3
    (problem,) = json.loads(machine.stdout)["problems"]
    assert (problem["code"], problem["line"], problem["column"]) == ("KS103", line, 1)


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    result = ksbuild("validate", tmp_path / "none.toml")
    assert result.exit_code == 6
    assert "none.toml: No such file" in result.stderr


def test_iso(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    output = tmp_path / "pair.iso"
    first = ksbuild("iso", profile, "--source", el9_iso, "-o", output, "--json")
    assert first.exit_code == 0, first.output
    said = json.loads(first.stdout)
    assert set(said["files"]) == {
        *("EFI/BOOT/grub.cfg", "isolinux/isolinux.cfg", "ksbuild.json"),
        *("ks.cfg", "julius.ks", "justinian.ks", "describe.cfg"),
    }
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pair.iso", "pair.keys", "pair.toml"]
    assert output.stat().st_mode & 0o777 == 0o600, "it carries the nodes' introduction keys"
    content = output.read_bytes()
    again = ksbuild("iso", profile, "--source", el9_iso, "-o", output)
    assert again.exit_code == 5
    assert "--force" in again.stderr
    assert output.read_bytes() == content


def test_plan(profile: Path, tmp_path: Path) -> None:
    said = ksbuild("plan", profile)
    assert said.exit_code == 0
    for text in ("justinian, the first node", "serial number CZC00014A2", "75507712", "rendezvous"):
        assert text in said.output
    machine = json.loads(ksbuild("plan", "--json", profile).stdout)
    assert machine["nodes"]["julius"]["partitions"]["data"]["start"] == 75507712
    assert [p.name for p in tmp_path.iterdir()] == ["pair.toml"], "a preview writes nothing"


def test_plan_against_an_earlier_medium(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    medium = tmp_path / "pair.iso"
    assert ksbuild("iso", profile, "--source", el9_iso, "-o", medium).exit_code == 0
    same = ksbuild("plan", profile, "--against", medium)
    assert (same.exit_code, same.output.splitlines()[-1]) == (0, "nothing differs")
    first, _, second = profile.read_text().rpartition("[900, 1000]")
    profile.write_text(f"{first}[900, 1100]{second}")  # julius's disk, nobody else's business
    other = ksbuild("plan", profile, "--against", medium)
    assert other.exit_code == 7
    assert {"~ julius.ks", "~ ksbuild.json"} <= set(other.output.splitlines())
    assert "~ justinian.ks" not in other.output
    assert ksbuild("plan", profile, "--against", el9_iso).exit_code == 4


def test_render_shows_everything_but_secrets(profile: Path, tmp_path: Path) -> None:
    hashed = "$6$abcdefgh$" + "x" * 86
    text = profile.read_text().replace("[access]", f'[access]\nroot_password_hash = "{hashed}"')
    profile.write_text(text)
    out = tmp_path / "out"
    assert ksbuild("render", profile, "--out", out).exit_code == 0
    written = {str(p.relative_to(out)): p.read_text() for p in out.rglob("*") if p.is_file()}
    assert "nodes/julius/etc/NetworkManager/system-connections/ks-bond0.nmconnection" in written
    kickstart = written["justinian.ks"]
    assert "(secret " in kickstart
    assert "rootpw --iscrypted" in kickstart
    assert not [p for p, t in written.items() if "PRIVATE KEY-----\n" in t or hashed in t]
    assert ksbuild("render", profile, "--out", out).exit_code == 5


@pytest.mark.parametrize(
    ("mode", "label"), [("patch", "AlmaLinux-9-6-x86_64-dvd"), ("oemdrv", "OEMDRV")]
)
def test_other_modes(profile: Path, el9_iso: Path, tmp_path: Path, mode: str, label: str) -> None:
    output = tmp_path / "pair.iso"
    before = el9_iso.read_bytes()
    made = ksbuild("iso", profile, "--source", el9_iso, "--mode", mode, "-o", output)
    assert made.exit_code == 0, made.output
    seen = ksbuild("inspect", output)
    assert seen.exit_code == 0, seen.output
    assert f"labelled  {label}" in seen.output
    assert el9_iso.read_bytes() == before
    assert (output.stat().st_size < 1_050_000) == (mode == "oemdrv")


def test_the_network_is_needed_and_not_named(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    lines = profile.read_text().splitlines(keepends=True)
    profile.write_text("".join(line for line in lines if not line.startswith("url = ")))
    for mode in ("boot", "patch"):  # the source has no packages of its own
        said = ksbuild(
            "iso", profile, "--source", el9_iso, "--mode", mode, "-o", tmp_path / "x.iso"
        )
        assert said.exit_code == 3
        assert "no install.url" in said.stderr


def test_an_address_without_a_checksum_is_refused(profile: Path, tmp_path: Path) -> None:
    said = ksbuild("iso", profile, "--source", "https://192.0.2.1/x.iso", "-o", tmp_path / "x.iso")
    assert said.exit_code == 4
    assert "nothing says what" in said.stderr
    assert "next: " in said.stderr


def test_same_input_same_bytes(
    profile: Path, el9_iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("a.iso", "b.iso"):
        assert ksbuild("iso", profile, "--source", el9_iso, "-o", tmp_path / name).exit_code == 0
    assert (tmp_path / "a.iso").read_bytes() == (tmp_path / "b.iso").read_bytes()


def test_the_cas_key_never_leaves_its_folder(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    output = tmp_path / "pair.iso"
    assert ksbuild("iso", profile, "--source", el9_iso, "-o", output).exit_code == 0
    key = (tmp_path / "pair.keys/ca.key").read_bytes()
    for line in key.splitlines()[1:-1]:
        assert line not in output.read_bytes()


def test_dry_run_writes_nothing(profile: Path, el9_iso: Path, tmp_path: Path) -> None:
    result = ksbuild("iso", profile, "--source", el9_iso, "-o", tmp_path / "x.iso", "--dry-run")
    assert result.exit_code == 0
    assert "justinian.ks" in result.output
    assert "nothing was written" in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["pair.toml"]


def test_a_demonstration_says_so(profile: Path, demo_source: Path, tmp_path: Path) -> None:
    output = tmp_path / "demo.iso"
    result = ksbuild("iso", profile, "--source", demo_source, "-o", output)
    assert result.exit_code == 0
    assert "DEMONSTRATION" in result.output
    assert f"ksbuild iso {profile} --source EL9.iso" in result.output
    with pytest.raises(Exception, match="KSBUILD-DEMO"):
        verify_boot_medium(output, {}, "KSBUILD")


@pytest.mark.parametrize("content", [b"", b"random bytes" * 10000])
def test_a_source_that_is_none(profile: Path, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "source.iso"
    source.write_bytes(content)
    result = ksbuild("iso", profile, "--source", source, "-o", tmp_path / "x.iso")
    assert result.exit_code == 4
    assert "next: " in result.stderr
    assert not (tmp_path / "x.iso").exists()


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    script = "import sys, builder.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    heavy = {"pydantic", "jinja2", "pycdlib", "pykickstart", "cryptography", "requests"}
    assert not heavy & set(done.stdout.split())
    assert ksbuild("--help").exit_code == 0
