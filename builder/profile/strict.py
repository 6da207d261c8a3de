"""The base of every section: no unknown key, no conversion, no value in a message."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A section of the profile."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )
