"""A line of progress on standard error, where somebody looks at it."""

import contextlib
import sys
from collections.abc import Callable, Iterator

import click


@contextlib.contextmanager
def progress(label: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function to call with (done, total), or None when nobody is watching."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=100, label=label, file=sys.stderr) as bar:
        yield lambda done, total: bar.update(done * 100 // max(total, 1) - bar.pos)
