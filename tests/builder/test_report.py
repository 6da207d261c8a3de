"""The pair on one page: what is drawn, to which scale, and how it prints."""

import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from builder.plan import Plan, report
from builder.profile.load import parse
from builder.resources import templates
from firstboot.node import SCHEMA, Identity
from firstboot.render.firewalld import crossover_ports
from tests.builder.conftest import planned

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def text_of(root: Path, name: str = "example", *changes: tuple[str, str]) -> str:
    text = (root / f"profiles/{name}.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def rendered(text: str) -> str:
    return report.render(planned(parse(text.encode(), "pair.toml").profile), templates())


def drawings(page: str) -> list[ET.Element]:
    """The SVGs, which are well-formed XML."""
    found = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    named = [each.replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1) for each in found]
    return [ET.fromstring(each) for each in named]  # noqa: S314 - our own


def words(drawing: ET.Element) -> list[str]:
    return ["".join(each.itertext()).strip() for each in drawing.iter(f"{SVG}text")]


def test_nothing_else_is_needed_and_nothing_runs(root: Path) -> None:
    page = rendered(text_of(root))
    assert "default-src 'none'" in page
    assert not re.search(r"<script|<link|<img|@import|url\(|\bsrc=|\bhref=|\bon[a-z]+=", page)


def test_every_port_address_and_device_is_there(root: Path, example: Plan) -> None:
    topology, _ = drawings(rendered(text_of(root)))
    said = " ".join(words(topology))
    for node in example.profile.node:
        for value in (*node.uplink.ports, *node.crossover.ports, node.crossover.address):
            assert value in said
        for device in node.fencing:
            assert f"level {device.level}: {device.agent}" in said
            assert str(device.address or device.command) in said
    assert "br0.8 VLAN 8, 10.0.8.113/22" in said
    assert "local network 10.0.0.0/22, gateway 10.0.0.1" in said


def test_cables_and_fence_paths_lead_from_one_to_the_other(root: Path) -> None:
    topology, _ = drawings(rendered(text_of(root)))
    lines = [each.attrib for each in topology.iter(f"{SVG}line")]
    cables = [each for each in lines if each["y1"] == each["y2"]]
    assert [(each["x1"], each["x2"]) for each in cables] == [("262", "458")] * 3
    dashed = [each for each in lines if "stroke-dasharray" in each]
    # Two devices for each node, each from the other node's inner side.
    assert sorted(each["x1"] for each in dashed) == ["262", "262", "458", "458"]
    assert {each["x2"] for each in dashed if each["x1"] == "458"} == {"238"}


def test_the_disk_is_to_scale(root: Path) -> None:
    page = rendered(text_of(root))
    _, disk = drawings(page)
    whole, data, *system = [each.attrib for each in disk.iter(f"{SVG}rect")]
    assert float(whole["width"]) + float(data["width"]) == pytest.approx(700, abs=0.1)
    assert float(whole["width"]) == pytest.approx(700 * 75507712 / (900 * 2097152), abs=0.1)
    assert [float(each["width"]) for each in system][2:] == pytest.approx(
        [700 * 1 / 36, 700 * 4 / 36, 700 * 31142 / 36 / 1024], abs=0.1
    )
    for sector in (2048, 4096, 1232896, 3330048, 11718656, 75507712):
        assert f'<td class="number">{sector}</td>' in page
    assert "a multiple of 14336 sectors" in " ".join(page.split())


@pytest.mark.parametrize("name", ["example", "lab"])
def test_what_the_firewall_opens_is_listed(root: Path, name: str) -> None:
    profile = parse(text_of(root, name).encode(), "pair.toml").profile
    plan = planned(profile)
    page = report.render(plan, templates())
    first = Identity(SCHEMA, plan.pair.nodes[0].name, plan.pair)
    for port, protocol in crossover_ports(first):
        assert f'<td class="number">{port}</td><td>{protocol}</td>' in page


def test_ports_that_the_agent_finds(root: Path) -> None:
    text = re.sub(
        r'(?m)^ports = \["00:25:B3:22:.1:3D.*|^ports = \["00:25:B3:22:D9:3D.*',
        'ports = "auto"',
        text_of(root),
    )
    page = rendered(text)
    assert page.count("crossover ports that the agent finds") == 2
    assert "crossover cable 1" not in page
    assert "1 crossover cable between them" in " ".join(page.split())


def test_a_name_is_no_markup_and_a_secret_is_not_told(root: Path) -> None:
    hashed = f'root_password_hash = "$6$saltsalt${"x" * 86}"'
    page = rendered(
        text_of(
            root,
            "example",
            ('"CZC00014A1" ', '"<b>&\\"A1" '),
            ("[access]\n", f"[access]\n{hashed}\n"),
        )
    )
    assert "serial &lt;b&gt;&amp;&#34;A1" in page
    assert "<b>&" not in page
    for secret in ("$6$", "ssh-ed25519", "BEGIN"):
        assert secret not in page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_a_screen_and_prints_on_two_sheets_of_a4(
    chromium: Browser, root: Path, tmp_path: Path, width: int
) -> None:
    file = tmp_path / "pair.html"
    file.write_text(rendered(text_of(root)))
    complaints: list[str] = []
    page = chromium.new_page(viewport={"width": width, "height": 800})
    page.set_default_timeout(120_000)
    page.on("console", lambda said: complaints.append(said.text))
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    printed = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", printed)) == 2
    assert not complaints
    page.close()


def test_the_command(root: Path, tmp_path: Path) -> None:
    out, profile = tmp_path / "pair.html", tmp_path / "pair.toml"
    shutil.copy(root / "profiles/example.toml", profile)
    argv = [sys.executable, "-m", "builder", "report", str(profile), "-o", str(out)]
    done = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True)
    assert str(out) in done.stdout
    before = out.read_text()
    assert before.startswith("<!doctype html>")
    again = subprocess.run(argv, cwd=ROOT, check=False, capture_output=True, text=True)
    assert again.returncode == 5
    assert "--force" in again.stderr
    assert sorted(tmp_path.iterdir()) == [out, profile]
    subprocess.run([*argv, "--force"], cwd=ROOT, check=True, capture_output=True)
    assert out.read_text() == before
