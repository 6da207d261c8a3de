"""A profile's plan, for every command that needs one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from builder.cli.outcome import PROFILE, fail, say_problems

if TYPE_CHECKING:
    from typing import TypeVar

    from builder.plan import Plan
    from builder.plan.kickstart import Key, Registration
    from builder.plan.tokens import Progress
    from builder.plan.trust import Introduction
    from builder.profile.model import Profile
    from builder.ticket import Ticket

    T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Prepared:
    """A checked profile and what lies beside it: all that a plan is made from.

    The introduction's keys are made, or read, with the plan: what is refused before leaves none.
    A living pair's `ticket` takes their place.
    """

    profile: "Profile"
    introduction: "Callable[[], Introduction]"
    keys: "tuple[Key, ...]"
    registration: "Registration | None"
    serve_key: "Callable[[], str]"
    certificate: str | None = None
    ticket: "Ticket | None" = None

    def plan(
        self,
        *,
        extras: str = "",
        dvd: bool = False,
        network: bool = True,
        served: str = "",
        told: str | None = None,
    ) -> "Plan":
        """The plan; `extras`, `dvd`, `network` and `served` as `builder.plan.plan` takes them.

        Progress is told to `told`, the URL of a server, else where the profile says. Raises
        KeysError when the plan is not the one that the ticket's pair lives by.
        """
        from builder.plan import plan
        from builder.resources import agent_archive, templates
        from firstboot import VERSION

        made = plan(
            self.profile,
            self.ticket.introduction if self.ticket else self.introduction(),
            agent_archive(),
            templates(),
            keys=self.keys,
            registration=self.registration,
            extras=extras,
            dvd=dvd,
            network=network,
            served=served,
            progress=self._progress(told),
        )
        if self.ticket:
            self.ticket.check_plan(made.digest, VERSION)
        return made

    def changed(self, profile: "Profile") -> "Prepared":
        """The same for a profile that was changed."""
        return replace(self, profile=profile)

    def shown(self, certificate: Path) -> "Prepared":
        """The same where the server that is told shows this one, if the profile names none."""
        from builder.inputs import certificates

        return replace(self, certificate=self.certificate or certificates(certificate))

    def _progress(self, told: str | None) -> "Progress | None":
        from builder.plan.tokens import Progress, progress

        url = told or self.profile.progress.url
        if url is None:
            return None
        key = self.serve_key()
        tokens = {node.name: progress(key, node.name) for node in self.profile.node}
        return Progress(url.rstrip("/"), tokens, self.certificate)


def make_plan(profile: Path, keys: Path | None, *, keep: bool, node: str | None = None) -> "Plan":
    """The plan of `profile`, as `prepare` takes it."""
    return prepare(profile, keys, keep=keep, node=node).plan()


def prepare(
    profile: Path,
    keys: Path | None,
    *,
    keep: bool,
    node: str | None = None,
    ticket: Path | None = None,
) -> Prepared:
    """Check `profile` and read what it names. Missing keys of the introduction are made in `keys`
    with `keep`, else thrown away; with a `ticket`, which is the node's, there are none.

    Fails where there is no such `node`, before anything is made.
    """
    from builder.inputs import package_keys, progress_certificate, registration
    from builder.profile.load import load

    loaded = load(profile)
    say_problems(str(profile), loaded.warnings)
    checked = loaded.profile
    names = [section.name for section in checked.node]
    if node is not None and node not in names:
        _unknown(profile, node, names)
    keys = keys or profile.with_suffix(".keys")
    return Prepared(
        checked,
        partial(_kept, keys, partial(_introduction, checked.pair.id, names), keep=keep),
        package_keys(profile.parent, checked),
        registration(profile.parent, checked),
        partial(_kept, keys, _serve_key, keep=keep),
        progress_certificate(profile.parent, checked),
        _ticket(ticket, checked.pair.id, node),
    )


def _ticket(path: Path | None, pair_id: str, node: str | None) -> "Ticket | None":
    from builder.ticket import read

    return read(path, pair_id, node) if path and node else None


def _introduction(pair_id: str, names: list[str], keys: Path) -> "Introduction":
    from builder.introduction import load_or_make

    return load_or_make(keys, pair_id, names)


def _serve_key(keys: Path) -> str:
    from builder.introduction import serve_key

    return serve_key(keys)


def _kept(keys: Path, read: "Callable[[Path], T]", *, keep: bool) -> "T":
    """What `read` makes of the keys folder, or without `keep` of a copy that is thrown away."""
    if keep:
        return read(keys)
    import shutil
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as throwaway:  # 0700
        copy = Path(throwaway) / "keys"
        if keys.is_dir():
            shutil.copytree(keys, copy)
        return read(copy)


def _unknown(profile: Path, node: str, names: list[str]) -> NoReturn:
    import difflib

    near = difflib.get_close_matches(node, names, 1)
    guess = f"; did you mean {near[0]}?" if near else ""
    fail(PROFILE, f"{profile} has no node {node}{guess}", f"name {' or '.join(names)}")
