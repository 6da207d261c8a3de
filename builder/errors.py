"""Errors that the command line words without loading what raises them."""


class KeysError(Exception):
    """The keys folder can't be used; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class InputError(Exception):
    """A file that the profile names can't be used; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class KickstartError(Exception):
    """pykickstart, or a comparison with the model, rejects a rendered kickstart: a bug of ours."""
