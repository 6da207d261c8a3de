"""What every test may use; --regenerate writes the golden trees anew."""

import logging
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("hypothesis"):  # the agent's tests run without it as well, on the nodes' Python
    from hypothesis import settings

    # A machine may be busy with something else: no example fails for that.
    settings.register_profile("patient", deadline=None, print_blob=True)
    settings.load_profile("patient")

ROOT = Path(__file__).parents[1]
LEFT_OUT = pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write the golden trees anew")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the kernel lets root alone do; the last lines say so."""
    left_out = [item for item in items if item.get_closest_marker("root") and os.getuid()]
    config.stash[LEFT_OUT] = len(left_out)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What the workers share out between them (`make test`)."""
    from xdist.scheduler import LoadScopeScheduling

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = group_of
    return scheduler


def group_of(nodeid: str) -> str:
    """What must not run beside it: other machines, the same addresses of loopback, its own file."""
    file = nodeid.partition("::")[0]
    folder = file.split("/")[1]
    return {"uml": "machines", "firstboot": "loopback", "pair": "loopback"}.get(folder, file)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what was left out."""
    if count := config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"left out: {count} tests that need root")


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Verbs that keep the console in peace quieten the log of this process, for every test."""
    yield
    logging.getLogger("firstboot.commands").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    """Whether golden trees are to be written."""
    return bool(request.config.getoption("--regenerate"))
