"""The page in Chromium: live, without JavaScript, on a phone, by keyboard, read aloud."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from builder.serve import app
from tests.serve import replay
from tests.serve.process import serving
from tests.serve.running import OTHER, SECRET, Running, running, served

CHROMIUM = "/usr/bin/chromium"
expect.set_options(timeout=120_000)
SHOTS = os.environ.get("KSBUILD_SCREENSHOTS")  # a folder, for whoever wants to look
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complains of: errors of the script, what the CSP forbids."""
    return []


@pytest.fixture
def page(chromium: Browser, complaints: list[str]) -> Iterator[Page]:
    yield from opened(chromium, complaints)


def opened(
    chromium: Browser, complaints: list[str], *, script: bool = True, width: int = 1280
) -> Iterator[Page]:
    context = chromium.new_context(
        java_script_enabled=script, viewport={"width": width, "height": 900}
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield page
    context.close()


def go(page: Page, server: Running) -> None:
    page.goto(server.origin + server.page)


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def state(page: Page, node: str, stage: str) -> str:
    return page.locator(f"[id='node_{node}_{stage}'] .state").inner_text()


def test_a_whole_bring_up_shows_by_itself(
    server: Running, page: Page, complaints: list[str]
) -> None:
    """Nothing is loaded anew: what changes is put in place while one looks."""
    go(page, server)
    expect(page.locator("#live")).to_contain_text("Live")
    page.evaluate("window.stayed = true")
    for number, (node, stage, event, _) in enumerate(replay.play(server, replay.whole())):
        if number == 60:
            expect(page.locator(f"[id='node_{node}_{stage}']")).to_be_visible()
            shoot(page, "going-on")
        if (stage, event) == ("replication", "waiting"):
            shoot(page, "sync")
    for node in ("justinian", "julius"):
        expect(page.locator(f"[id='node_{node}_now'] strong")).to_have_text("complete")
        expect(page.locator(f"[id='node_{node}_report'] .state")).to_have_text("done")
        assert page.locator(f"[id='node_{node}'] li.ahead").count() == 0
    expect(page.locator("#live")).to_contain_text("complete")
    assert page.evaluate("window.stayed") is True
    assert "justinian complete, julius complete" in page.title()
    page.locator("summary").first.click()
    assert "POSIX locks a second" in page.locator("pre.report").first.inner_text()
    shoot(page, "complete")
    assert complaints == []


def test_one_that_stops_shows_why_and_what_next(
    server: Running, page: Page, complaints: list[str]
) -> None:
    go(page, server)
    list(replay.play(server, replay.failed()))
    problem = page.locator(".problem")
    expect(problem).to_have_count(1)
    assert problem.locator("h3").inner_text() == "Fencing proven: refused"
    assert "<this server's own>" in problem.locator("pre").first.inner_text()
    assert "ksnode run" in problem.locator("pre").last.inner_text()
    assert state(page, "julius", "fencing") == "waiting"
    shoot(page, "stopped")
    assert complaints == []


@pytest.mark.parametrize("bring_up", ["whole", "failed"])
def test_without_javascript(
    server: Running, chromium: Browser, complaints: list[str], bring_up: str
) -> None:
    for page in opened(chromium, complaints, script=False):
        go(page, server)
        assert page.locator("noscript").count() >= 1
        list(replay.play(server, getattr(replay, bring_up)()))
        page.reload()
        if bring_up == "whole":
            assert page.locator("[id='node_julius_now'] strong").inner_text() == "complete"
            assert 'http-equiv="refresh"' not in page.content()
        else:
            assert "Fencing proven: refused" in page.locator("main").inner_text()
            assert 'http-equiv="refresh" content="15"' in page.content()
            assert "loads itself anew every 15 seconds" in page.locator("footer").inner_text()
        page.locator("summary").first.click() if bring_up == "whole" else None
        shoot(page, f"no-script-{bring_up}")
    assert complaints == []


@pytest.mark.parametrize("bring_up", ["whole", "failed"])
def test_on_a_phone(
    server: Running, chromium: Browser, complaints: list[str], bring_up: str
) -> None:
    """Nothing is wider than the screen, and nothing to touch is too small."""
    for page in opened(chromium, complaints, width=360):
        go(page, server)
        list(replay.play(server, getattr(replay, bring_up)()))
        expect(page.locator("[id='node_julius_now'] strong")).not_to_have_text("not heard of yet")
        page.reload()
        if bring_up == "whole":
            page.locator("summary").first.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        boxes = [link.bounding_box() for link in page.locator("a, summary").all()]
        assert boxes
        assert all(box and box["height"] >= 24 for box in boxes)
        shoot(page, f"phone-{bring_up}")
    assert complaints == []


def test_many_pairs_on_a_phone(tmp_path: Path, chromium: Browser, complaints: list[str]) -> None:
    with running(tmp_path, served(SECRET, OTHER)) as server:
        list(replay.play(server, replay.failed()))
        for page in opened(chromium, complaints, width=360):
            go(page, server)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            boxes = [link.bounding_box() for link in page.locator("a").all()]
            assert boxes
            assert all(box and box["height"] >= 24 for box in boxes)
    assert complaints == []


def test_by_keyboard_alone(server: Running, page: Page) -> None:
    """Every link and summary is reached by Tab, shows that it is, and does what it says."""
    list(replay.play(server, replay.whole()))
    go(page, server)
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(() => { const e = document.activeElement, s = getComputedStyle(e);"
            " return [e.tagName, e.textContent, s.outlineStyle, parseFloat(s.outlineWidth)]; })()"
        )
        reached.append(focused[:2])
        if focused[0] == "BODY":
            break
        assert focused[2] != "none", focused
        assert focused[3] >= 2, focused
        if focused[0] == "SUMMARY":
            page.keyboard.press("Enter")
    assert ["A", "justinian"] in reached
    assert ["A", "julius"] in reached
    assert [tag for tag, _ in reached].count("SUMMARY") == 1
    assert [tag for tag, _ in reached].count("PRE") == 1, "the report scrolls by keyboard"
    assert page.locator("details[open]").count() == 1


def test_focus_stays_where_it_is_while_things_change(server: Running, page: Page) -> None:
    list(replay.play(server, replay.whole()))
    go(page, server)
    expect(page.locator("#live")).to_contain_text("Live")
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    server.tell("report", "done", "measured anew")
    server.tell("guests", "missing", "nothing in particular")
    expect(page.locator("[id='node_justinian_guests']")).to_contain_text("nothing in particular")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert page.locator("details[open]").count() == 1


def test_as_a_screen_reader_meets_it(server: Running, page: Page) -> None:
    """Headings, landmarks, lists and states have names; signs and bars are not read."""
    list(replay.play(server, replay.failed()))
    go(page, server)
    tree = page.locator("body").aria_snapshot()
    assert '- heading "Pair 00014" [level=1]' in tree
    assert '- navigation "Nodes"' in tree
    for node in ("justinian", "julius"):
        assert f'- region "{node}"' in tree
        assert f'- heading "{node}" [level=2]' in tree
    assert 'heading "Fencing proven: refused" [level=3]' in tree
    assert "Packages done" in tree
    assert "✓" not in tree
    assert "- status" in tree
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_connection_is_lost_and_comes_back(tmp_path: Path, page: Page) -> None:
    with serving(tmp_path) as process:
        page.goto(process.told["page"])
        expect(page.locator("#live")).to_contain_text("Live")
        process.kill()
    expect(page.locator("#live")).to_contain_text("lost")
    with serving(tmp_path) as process:
        expect(page.locator("#live")).to_contain_text("Live")
        assert process.tell("julius", b"stage=guests&event=ok") == 204
        expect(page.locator("#node_julius_now")).to_contain_text("Ready for guests: done")


def test_many_pairs(tmp_path: Path, page: Page, complaints: list[str]) -> None:
    with running(tmp_path, served(SECRET, OTHER)) as server:
        list(replay.play(server, replay.failed()))
        go(page, server)
        expect(page.locator("tbody tr")).to_have_count(4)
        shoot(page, "overview")
        server.tell("guests", "ok", node="julius")
        expect(page.locator("tbody")).to_contain_text("Ready for guests: done")
        page.get_by_role("link", name="00014").click()
        expect(page.locator("h1")).to_have_text("Pair 00014")
        page.get_by_role("link", name="All pairs").click()
        expect(page.locator("h1")).to_have_text("2 pairs")
    assert [said for said in complaints if "ERR_" not in said] == []


def test_a_row_with_the_focus_is_told_at_once_and_shown_once_it_is_left(
    tmp_path: Path, page: Page
) -> None:
    with running(tmp_path, served(SECRET, OTHER)) as server:
        go(page, server)
        expect(page.locator("#live")).to_contain_text("Live")
        page.get_by_role("link", name="00014").focus()
        server.tell("guests", "failed", "x", node="justinian")
        expect(page.locator("#live")).to_contain_text("justinian: Ready for guests: failed")
        row = page.locator("tr[id^='node_justinian_']").first
        expect(row).to_contain_text("not heard of yet")
        assert page.evaluate("document.activeElement.textContent") == "00014"
        page.evaluate("document.activeElement.blur()")
        expect(row).to_contain_text("Ready for guests: failed")


def test_a_silent_node_grows_older_on_the_page(server: Running, page: Page) -> None:
    server.tell("uplink", "ok")
    page.clock.install()
    go(page, server)
    expect(page.locator("#node_justinian_now")).to_contain_text(re.compile(r"heard \d+ s ago"))
    server.ahead_s = 300
    page.clock.run_for(16_000)
    expect(page.locator("#node_justinian_now")).to_contain_text("heard 5 min ago")


def test_a_server_that_had_no_place_for_one_more_is_asked_again(
    server: Running, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser gives up for good where it is answered with an error."""
    monkeypatch.setattr(app, "MOST_WATCHERS", 0)
    go(page, server)
    expect(page.locator("#live")).to_contain_text("lost")
    monkeypatch.undo()
    expect(page.locator("#live")).to_contain_text("Live")
    server.tell("guests", "ok")
    expect(page.locator("#node_justinian_now")).to_contain_text("Ready for guests: done")
