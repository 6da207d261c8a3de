"""Rules across the profile: what no single key shows. Each function may find several problems."""

from collections.abc import Iterator

from builder.profile.model import Profile
from builder.profile.problems import Problem
from builder.profile.rules import machines, networks, services


def check(profile: Profile) -> Iterator[Problem]:
    """Every problem across keys, warnings included."""
    for rule in (*machines.RULES, *networks.RULES, *services.RULES):
        yield from rule(profile)
