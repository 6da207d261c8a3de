"""What the real agent reaches the world by, led to the played one: clock, calls that write, chance.

Only what happens inside a Fiber is led there; pytest's own sleeping and writing is left alone.
"""

from __future__ import annotations

import functools
import importlib
import os
import pkgutil
import threading
import time
import types
import typing
from collections.abc import Callable
from pathlib import Path
from time import struct_time
from typing import TYPE_CHECKING, Any

import pytest

import firstboot
from firstboot import data, journal, node, strictjson
from firstboot.rendezvous import session
from firstboot.verbs import converging, gate
from firstboot.verification import disk, locks
from firstboot.verification.disk import Streaming
from firstboot.verification.locks import Locking
from tests.pair.fiber import Fiber

if TYPE_CHECKING:
    from tests.pair.world import World

CALLS = ("fsync", "replace", "link", "unlink", "symlink", "mkdir", "rmdir", "chmod")
MODULES = [
    importlib.import_module(found.name)
    for found in pkgutil.walk_packages(firstboot.__path__, "firstboot.")
    if not found.name.endswith("__main__")
]


class Doors:
    """Stands in for `time` in every module of the agent, and counts the calls that write."""

    def __init__(self) -> None:
        self.world: World | None = None

    def lead(self, patch: pytest.MonkeyPatch) -> None:
        """Put everything in its place."""
        mine: dict[str, Callable[..., Any]] = {
            "sleep": self.sleep,
            "monotonic": self.monotonic,
            "time": self.time,
            "monotonic_ns": lambda: int(self.monotonic() * 1e9),
        }
        clock = types.SimpleNamespace(**{**vars(time), **mine, "gmtime": self.gmtime})
        replaced = {id(getattr(time, name)): own for name, own in mine.items()}
        for module in MODULES:
            if getattr(module, "time", None) is time:
                patch.setattr(module, "time", clock)
            for function in _functions(module):
                _redefault(patch, function, replaced)
        for name in CALLS:
            patch.setattr(os, name, self._counted(name, getattr(os, name)))
        patch.setattr(os, "open", self._opened(os.open))
        patch.setattr(os, "sync", self.sync)
        more = frozenset({"firewall", "ksm"})  # el9's, but for what needs hardware
        patch.setitem(node.CAPABILITIES, "debian12-lab", more)
        for module in (journal, gate):
            patch.setattr(module, "print", self.print, raising=False)
        patch.setattr(converging, "a_context", lambda i, r: self._here().a_context(i, r))
        patch.setattr(locks, "measure", self._locks)
        patch.setattr(locks, "prepare", self._ring)
        patch.setattr(locks, "counted", lambda path: self._here().rings[path.name])
        patch.setattr(disk, "measure", lambda *_, **__: Streaming(1, 1, 1, 1, 1))
        for name in ("plan_digest", "key_digests"):  # slow, and the same each time
            patch.setattr(session, name, functools.cache(getattr(session, name)))
        patch.setattr(strictjson, "get_type_hints", functools.cache(typing.get_type_hints))
        for name, value in (("END_BYTES", 1 << 17), ("SAMPLE_BYTES", 4096), ("SAMPLES", 2)):
            patch.setattr(data, name, value)
        patch.setattr(data, "METADATA_REST", 1 << 16)  # as small as the disk

    def _here(self) -> World:
        assert self.world is not None
        return self.world

    def sleep(self, seconds: float) -> None:
        fiber = Fiber.here()
        if fiber is None:
            assert threading.current_thread() is not threading.main_thread()
            time.sleep(seconds)
            return
        fiber.sleep(self._here().now + seconds)

    def monotonic(self) -> float:
        return self._here().now

    def time(self) -> float:
        return self._here().wall()

    def gmtime(self, *seconds: float) -> struct_time:
        return time.gmtime(*(seconds or (self.time(),)))

    def sync(self) -> None:
        self._here().tick("sync")
        with self._here().backstage():
            self._here().running.settle()

    def print(self, *words: object, **_: Any) -> None:
        self._here().console.append(" ".join(map(str, words)))

    def _ring(self, path: Path) -> None:
        self._here().tick(f"create {path}")
        path.touch()
        self._here().rings[path.name] = 0

    def _locks(self, path: Path, seconds: float) -> Locking:
        self._here().rings[path.name] += 7
        self.sleep(seconds)
        return Locking(7, 1.0)

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            target = arguments[0]
            if name == "fsync":
                target = os.readlink(f"/proc/self/fd/{target}")
            if not self._is_agents(target):
                return real(*arguments, **named)
            self._here().tick(f"{name} {target}")
            answer = real(*arguments, **named)
            if name == "fsync":
                self._here().running.fsync(str(target))
            return answer

        return call

    def _is_agents(self, path: object) -> bool:
        """Whether it is the agent that changes this, and not the world around it."""
        if Fiber.here() is None or self._here().offstage:
            return False
        return self._here().running.keeps(str(path))

    def _opened(self, real: Callable[..., int]) -> Callable[..., int]:
        def call(path: Any, flags: int, *more: Any, **named: Any) -> int:
            if flags & os.O_CREAT and self._is_agents(path):
                self._here().tick(f"create {path}")
            return real(path, flags, *more, **named)

        return call


def _functions(module: types.ModuleType) -> list[types.FunctionType]:
    found = []
    for value in vars(module).values():
        if isinstance(value, types.FunctionType):
            found.append(value)
        elif isinstance(value, type):
            found += [f for f in vars(value).values() if isinstance(f, types.FunctionType)]
    return [f for f in found if f.__module__ == module.__name__]


def _redefault(
    patch: pytest.MonkeyPatch, function: types.FunctionType, replaced: dict[int, Any]
) -> None:
    plain, named = function.__defaults__ or (), function.__kwdefaults__ or {}
    if any(id(value) in replaced for value in plain):
        new = tuple(replaced.get(id(value), value) for value in plain)
        patch.setattr(function, "__defaults__", new)
    if any(id(value) in replaced for value in named.values()):
        kept = {key: replaced.get(id(value), value) for key, value in named.items()}
        patch.setattr(function, "__kwdefaults__", kept)
