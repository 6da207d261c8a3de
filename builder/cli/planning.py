"""A profile's plan, for every command that needs one."""

import difflib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn

from builder.cli.outcome import PROFILE, fail, say_problems

if TYPE_CHECKING:
    from builder.plan import Plan


def make_plan(profile: Path, keys: Path | None, *, keep: bool, node: str | None = None) -> "Plan":
    """The plan of `profile`; missing keys are made in `keys` with `keep`, else thrown away.

    Fails where there is no such `node`, before anything is made.
    """
    from builder.inputs import package_keys, registration
    from builder.introduction import load_or_make
    from builder.plan import plan
    from builder.plan.agent import archive
    from builder.profile.load import load
    from builder.resources import agent_sources, templates

    loaded = load(profile)
    say_problems(str(profile), loaded.warnings)
    checked = loaded.profile
    names = [section.name for section in checked.node]
    if node is not None and node not in names:
        _unknown(profile, node, names)
    keys = keys or profile.with_suffix(".keys")
    if keep:
        introduction = load_or_make(keys, checked.pair.id, names)
    else:
        with TemporaryDirectory() as throwaway:  # 0700
            copy = Path(throwaway) / "keys"
            if keys.is_dir():
                shutil.copytree(keys, copy)
            introduction = load_or_make(copy, checked.pair.id, names)
    return plan(
        checked,
        introduction,
        archive(agent_sources()),
        templates(),
        keys=package_keys(profile.parent, checked),
        registration=registration(profile.parent, checked),
    )


def _unknown(profile: Path, node: str, names: list[str]) -> NoReturn:
    near = difflib.get_close_matches(node, names, 1)
    guess = f"; did you mean {near[0]}?" if near else ""
    fail(PROFILE, f"{profile} has no node {node}{guess}", f"--node {' or --node '.join(names)}")
