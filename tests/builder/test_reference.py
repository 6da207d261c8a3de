"""The schema for editors and the page of keys say what the model does."""

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from builder.cli import main
from builder.profile.load import parse
from builder.profile.model import Profile
from builder.profile.problems import ProfileError
from builder.profile.reference import markdown, meanings, sections

EXAMPLE = (Path(__file__).parents[2] / "profiles/example.toml").read_text()


@pytest.fixture(scope="module")
def schema() -> Any:
    """What `ksbuild schema` prints."""
    return json.loads(CliRunner().invoke(main, ["schema"]).output)


@pytest.mark.parametrize("name", ["example", "lab"])
def test_shipped_profiles_fit_the_schema(root: Path, schema: Any, name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    data = tomllib.loads((root / f"profiles/{name}.toml").read_text())
    jsonschema.validate(data, schema)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mtu = 9000", 'mtu = "9000"'),
        ("mtu = 9000", "mtuu = 9000"),
        ("vlan = 8", "vlan = 4095"),
        ('mode = "balance-rr"', 'mode = "bogus"'),
    ],
)
def test_schema_and_model_reject_the_same(schema: Any, old: str, new: str) -> None:
    text = EXAMPLE.replace(old, new)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text), schema)
    with pytest.raises(ProfileError):
        parse(text.encode(), "p")


def test_every_key_is_explained() -> None:
    page = markdown()
    models: list[tuple[str, type[BaseModel]]] = [("whole", Profile), *sections(Profile, "")]
    for title, model in models:
        assert model.__doc__, title
        for name in model.model_fields:
            if f"| `{name}` |" in page:
                assert meanings(model)[name], f"{title} {name}"
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    for row in rows:
        assert all(cell.strip() for cell in row.split("|")[1:-1]), row
