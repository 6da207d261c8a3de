"""What boot loaders find by TFTP, written anew whenever what a node is to do has changed.

Everybody on the network can read these files, as everybody can ask for the same over HTTP: they
have the modes that any TFTP server wants.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from builder.plan.tftpmenus import TOKEN, NodeMenus
from builder.serve.admission import Allowance, closed
from builder.serve.store import Key


class Menus:
    """The folder and what stands in it; `token` is a node's own for one generation."""

    def __init__(
        self, folder: Path, nodes: Mapping[Key, NodeMenus], token: Callable[[Key, int], str]
    ) -> None:
        self._folder, self._nodes, self._token = folder, nodes, token
        self._written: dict[str, str] = {}

    def refresh(
        self,
        keys: Iterable[Key],
        allowance: Callable[[Key], Allowance | None],
        now: float,
        refetch_s: float,
    ) -> None:
        """Write what is not so yet of these nodes. Raises OSError."""
        for key in keys:
            menus, known = self._nodes[key], allowance(key)
            for path, text in self._wanted(key, menus, known, now, refetch_s).items():
                if self._written.get(path) != text:
                    self._write(path, text)

    def _wanted(
        self,
        key: Key,
        menus: NodeMenus,
        known: Allowance | None,
        now: float,
        refetch_s: float,
    ) -> Mapping[str, str]:
        if known is None or closed(known, now, refetch_s):
            return menus.local
        chosen = menus.install if known.generation == 1 else menus.again
        token = self._token(key, known.generation)
        return {path: text.replace(TOKEN, token) for path, text in chosen.items()}

    def _write(self, path: str, text: str) -> None:
        """Whole or not at all: a loader may be reading it."""
        place = self._folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        for above in Path(path).parents:
            (self._folder / above).chmod(0o755)
        part = place.with_name(f".{place.name}.part")
        part.write_text(text, encoding="utf-8")
        part.chmod(0o644)
        os.replace(part, place)
        self._written[path] = text
