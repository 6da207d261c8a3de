"""What can go wrong with a medium, each with the next thing to do."""


class MediaError(Exception):
    """A problem with a source, a medium or its file; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class SourceError(MediaError):
    """The source ISO cannot be used."""


class MediumError(MediaError):
    """The new medium cannot be made, or is not what was asked for."""


class OutputError(MediaError):
    """The file of the new medium cannot be written."""


class RefusedError(MediaError):
    """It could be done, and would be dangerous; `--force` does it all the same."""
