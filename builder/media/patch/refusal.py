"""Refusals that every part of the patcher words alike."""

from builder.media.errors import SourceError

_OTHER_MODES = (
    "use --mode boot (a small medium that installs from the network) "
    "or --mode oemdrv (a companion beside the unchanged medium)"
)
_AGAIN = "download it again and compare its checksum"


def unknown_layout(what: str) -> SourceError:
    """The source is sound, but not laid out in a way that can be patched safely."""
    return SourceError(f"the source cannot be patched: {what}", _OTHER_MODES)


def damaged(what: str) -> SourceError:
    """The source contradicts itself or the standard."""
    return SourceError(f"the image is damaged: {what}", _AGAIN)
