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

# One machine at a time and without haste; the others are pairs whose nodes watch each other.
INSTALLATIONS = ("describe", "guard", "parts", "sectors", "stacked", "used")
# What takes minutes is begun first, so that no worker is left alone with it in the end.
LONGEST = (
    *("machines", "installations", "loopback"),
    *(f"tests/test_agent_pythons.py::test_the_agents_tests[{v}]" for v in ("3.9", "3.12")),
    "tests/qemu/test_machine.py",
    *("tests/media/test_boots.py", "tests/media/test_netboot.py", "tests/media/test_example.py"),
    *("tests/media/test_try.py", "tests/media/patch/test_boots.py", "tests/media/test_matrix.py"),
    *(
        "tests/builder/test_pre_disk.py",
        "tests/media/test_left_in.py",
        "tests/media/test_memory.py",
    ),
    *("tests/builder/test_pre_consent.py", "tests/media/patch/test_hostile.py"),
    *("tests/media/test_hostile.py", "tests/serve/test_installation.py"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write the golden trees anew")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the kernel lets root alone do; the last lines say so."""
    left_out = [item for item in items if item.get_closest_marker("root") and os.getuid()]
    config.stash[LEFT_OUT] = len(left_out)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(group_of(item.nodeid)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What the workers share out between them (`make test`)."""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # not by the number of tests: in the order above
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = group_of
    return scheduler


def group_of(nodeid: str) -> str:
    """What must not run beside it: other machines, the same addresses of loopback, its own file.

    The agent's tests on another Python have a network of their own.
    """
    file = nodeid.partition("::")[0]
    folder, name = file.split("/")[1], file.rpartition("/test_")[2].partition(".")[0]
    if folder == "uml":
        return "installations" if name in INSTALLATIONS else "machines"
    own = nodeid if file == "tests/test_agent_pythons.py" else file
    return {"firstboot": "loopback", "pair": "loopback"}.get(folder, own)


def place_of(group: str) -> int:
    """When a group's turn comes: those that are not named are all as good."""
    return LONGEST.index(group) if group in LONGEST else len(LONGEST)


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
