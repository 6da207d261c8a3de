"""What every test may use; --regenerate writes the golden trees anew."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate", action="store_true", help="write the golden trees anew")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    """Whether golden trees are to be written."""
    return bool(request.config.getoption("--regenerate"))
