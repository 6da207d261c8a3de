"""The real dnsmasq, with nothing to do, watched over."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.demo.programs import DemoError
from builder.serve import dnsmasq
from builder.serve.dnsmasq import Dnsmasq


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dnsmasq, "AGAIN_S", 0.2)
    path = tmp_path / "dnsmasq.conf"
    path.write_text("port=0\nuser=root\n")
    return path


@pytest.fixture
def watched(settings: Path) -> Iterator[tuple[Dnsmasq, list[str]]]:
    said: list[str] = []
    one = Dnsmasq(settings, said.append)
    one.begin()
    yield one, said
    one.end()


def pid(settings: Path, other_than: int = 0) -> int:
    """The process id it has written, once it has written another one."""
    file = settings.with_name("dnsmasq.pid")
    until(lambda: file.exists() and file.read_text().strip() not in ("", str(other_than)))
    return int(file.read_text())


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def unheard(_: str) -> None:
    pass


def gone(number: int) -> bool:
    return not Path(f"/proc/{number}").exists()


def test_it_ends_with_the_server(settings: Path, watched: tuple[Dnsmasq, list[str]]) -> None:
    number = pid(settings)
    watched[0].end()
    assert gone(number)
    assert watched[1] == []


def test_it_is_started_again(settings: Path, watched: tuple[Dnsmasq, list[str]]) -> None:
    first = pid(settings)
    os.kill(first, signal.SIGKILL)
    second = pid(settings, other_than=first)
    assert gone(first)
    (said,) = watched[1]
    assert said.startswith("dnsmasq ended with -9 (")
    watched[0].end()
    assert gone(second)


def test_one_that_cannot_run_is_told_of(settings: Path) -> None:
    settings.write_text("no-such-word\n")
    one = Dnsmasq(settings, unheard)
    with pytest.raises(DemoError, match=r"^dnsmasq ended with 1: dnsmasq: bad option at line 1 of"):
        one.begin()
    assert not settings.with_name("dnsmasq.pid").exists()
    one.end()


def test_what_a_killed_server_left_is_ended(
    settings: Path, watched: tuple[Dnsmasq, list[str]]
) -> None:
    left = pid(settings)
    watched[0]._ending.set()  # nobody starts it again, as after a kill of the server
    another = Dnsmasq(settings, unheard)
    another.begin()
    assert gone(left)
    assert pid(settings, other_than=left)
    another.end()


def test_a_stranger_with_that_process_id_is_left_alone(settings: Path) -> None:
    settings.with_name("dnsmasq.pid").write_text(str(os.getpid()))
    one = Dnsmasq(settings, unheard)
    one.begin()
    one.end()
