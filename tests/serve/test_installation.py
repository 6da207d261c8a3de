"""The kickstart's own scripts tell a real server how far they are, and never fail for it."""

import json
import re
import stat
import subprocess
from pathlib import Path

import pytest

from builder.plan import Plan, tokens
from builder.plan.tokens import Progress
from builder.serve.stages import split
from tests.builder.conftest import planned
from tests.builder.server import Server
from tests.serve.running import SECRET, Running, profile

MACS = ("00:25:B3:22:D9:3C", "00:25:B3:22:D9:3D", "00:25:B3:22:D9:3E", "00:25:B3:22:D9:3F")


def plan(origin: str) -> Plan:
    told = {node: tokens.progress(SECRET, node) for node in ("justinian", "julius")}
    return planned(profile(), progress=Progress(origin, told))


@pytest.fixture
def hardware(tmp_path: Path) -> Server:
    """justinian, with the real curl for what is told; repositories answer."""
    one = Server(tmp_path / "server", macs=MACS)
    real = 'echo "$@" >>$SERVER/argv; case "$*" in *repomd*) exit 0;; esac; exec /usr/bin/curl "$@"'
    one.stub("curl", real)
    return one


def stages(server: Running) -> dict[str, tuple[str, str]]:
    said = server.server.store.stages(server.key().pair).get("justinian", {})
    return {name: (what.event, what.detail) for name, what in said.items()}


@pytest.mark.parametrize("text", ["either", "own"])
def test_pre_tells_each_stage(server: Running, hardware: Server, text: str) -> None:
    made = plan(server.origin)
    hardware.add_disk("sda", 950)
    outcome = hardware.run(made.either if text == "either" else made.kickstarts["justinian"])
    assert outcome.success, outcome.said
    told = stages(server)
    assert told["installer"] == ("started", "this is justinian (serial 'CZC00014A1')")
    assert told["kickstart"] == ("done", "read by the installer")
    sda = hardware.root / "dev/sda"
    assert next(line for line in server.said if "disk" in line).endswith("disk: started")
    assert told["disk"] == ("done", f"{sda}, ks-data at sector 75507712")
    argv = (hardware.root / "argv").read_text()
    assert "stage=disk" in argv
    assert "ksbuild-progress-" not in argv, "the token is in no argv"
    written = hardware.root / "tmp/ksbuild-progress.curl"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert tokens.progress(SECRET, "julius") not in written.read_text()


def test_a_refusal_is_told_with_evidence_and_next(server: Running, hardware: Server) -> None:
    hardware.add_disk("sda", 10)
    outcome = hardware.run(plan(server.origin).either)
    assert not outcome.success
    event, detail = stages(server)["disk"]
    assert event == "refused"
    assert "no disk" in detail or "exactly one" in detail or "sda" in detail
    evidence, then = split(detail)
    assert "Nothing was written to any disk." in evidence
    assert then
    assert "Nothing" not in then
    page = server.ask(server.page).text
    assert "Disk: refused" in page
    assert "<p>Next:</p>" in page


def test_what_was_not_foreseen_is_told(server: Running, hardware: Server) -> None:
    hardware.add_disk("sda", 950)
    hardware.stub("sfdisk", "echo sfdisk: something odd >&2; exit 1")
    outcome = hardware.run(plan(server.origin).either)
    assert not outcome.success
    assert "FAILED" in outcome.said
    event, detail = stages(server)["disk"]
    assert event == "failed"
    assert detail


@pytest.mark.parametrize("curl", ["exit 7", "exec sleep 0", "echo garbage; exit 28", None])
def test_no_server_or_no_curl_changes_nothing(hardware: Server, curl: str | None) -> None:
    """Port 9 of loopback: nobody listens there."""
    hardware.add_disk("sda", 950)
    if curl is not None:
        hardware.stub(
            "curl", curl if "repomd" in curl else f'case "$*" in *repomd*) exit 0;; esac\n{curl}'
        )
    outcome = hardware.run(plan("http://127.0.0.1:9").either)
    assert outcome.success, outcome.said
    assert "REFUSED" not in outcome.said
    assert "FAILED" not in outcome.said


def script(text: str, section: str) -> str:
    found = re.findall(rf"^%{section} [^\n]*\n(.*?)^%end$", text, re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def test_packages_and_what_stops_behind_pre(server: Running, hardware: Server) -> None:
    made = plan(server.origin)
    hardware.add_disk("sda", 950)
    assert hardware.run(made.either).success
    for section in ("pre-install", "onerror"):
        text = script(made.either, section).replace("/tmp/", f"{hardware.root}/tmp/")
        text = text.replace("/dev/console", "/dev/null").replace("/dev/tty1", "/dev/null")
        (hardware.root / "tmp/packaging.log").write_text("ERR <no such package> & more\n")
        subprocess.run(["bash"], input=text, text=True, check=True, cwd=hardware.root)
    told = stages(server)
    assert told["packages"][0] == "started"
    event, detail = told["installed"]
    assert event == "failed"
    assert "ERR <no such package> & more" in detail
    page = server.ask(server.page).text
    assert "ERR &lt;no such package&gt; &amp; more" in page
    assert "start the medium again, it goes on" in page


@pytest.fixture
def post(tmp_path: Path) -> Path:
    """A folder for what %post writes."""
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def test_post_leaves_the_agent_what_it_tells_with(server: Running, post: Path) -> None:
    """The parts of %post that have to do with it, run as they stand, below another root."""
    text = script(plan(server.origin).either, "post")
    start, middle, end = (
        text[text.index("# --- progress") : text.index("\n# put PATH MODE")],
        text[text.index("# --- the same for the agent") : text.index("base64 -d <<")],
        text[text.rindex("\nprogress installed") :],
    )
    head = "set -euo pipefail; node=justinian\n"
    head += f'put() {{ install -D -m "$2" /dev/stdin "{post}$1"; }}\n'
    whole = head + (start + middle + end).replace("/tmp/", f"{post}/")
    subprocess.run(["bash"], input=whole, text=True, check=True)
    told = stages(server)
    assert (told["packages"][0], told["installed"][0]) == ("done", "done")
    left = post / "etc/ksbuild/progress.json"
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    token = tokens.progress(SECRET, "justinian")
    assert json.loads(left.read_text()) == {"token": token, "url": server.origin}
    assert not (post / "ksbuild-progress.curl").exists()
    allowance = server.server.store.allowance(server.key())
    assert allowance is not None
    assert allowance.installed is not None


def test_without_a_url_nothing_is_told() -> None:
    made = planned(profile())
    assert "progress" not in made.either
    assert "%pre-install" not in made.either


def test_the_network_is_there_but_nothing_waits_for_it() -> None:
    from builder.plan.bootmenu import fetches, network
    from builder.profile.services import Progress as Section

    one = profile()
    offline = one.install.model_copy(update={"url": None, "repositories": []})
    alone = one.model_copy(update={"install": offline})
    assert not fetches(alone)
    assert list(network(alone, (one.node[0],), wait=False)) == []
    telling = alone.model_copy(update={"progress": Section(url="http://10.0.0.9")})
    words = list(network(telling, (one.node[0],), wait=False))
    assert words[0].startswith("ip=10.0.0.112::")
    assert "rd.neednet=1" not in words
