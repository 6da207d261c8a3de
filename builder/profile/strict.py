"""The base of every section: no unknown key, no conversion, no value in a message."""

import os

# Looking for plugins reads the metadata of every package there is, and we want none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A section of the profile."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        defer_build=True,
    )
