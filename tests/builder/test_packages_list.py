"""%packages: everything that a node's agent works with has a package that brings it."""

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.plan.packages import packages, sources
from builder.plan.pair import pair
from builder.profile.load import load
from builder.profile.model import Profile
from firstboot.render import cib, fencedevice
from firstboot.steps import guests, host, preflight
from tests.uml.images import CLUSTER_PACKAGES, PACKAGES

ROOT = Path(__file__).parents[2]
# Calls whose program a variable names, and where its names come from instead.
ELSEWHERE = {
    "firstboot/fencing/power.py: self._run([program], ...)": "the profile's fence agents",
    "firstboot/steps/preflight.py: self._context.run([tool, *raid.SHOW], ...)": "a vendor's",
    "firstboot/verbs/health.py: run([tool, *raid.SHOW], ...)": "a vendor's",
    "firstboot/verbs/checking.py: run([tool, *raid.SHOW], ...)": "a vendor's",
    "firstboot/fencing/accounts.py: run([*ipmitool, *command], ...)": "IPMITOOL, as in lan.py",
    "firstboot/pacemaker.py: run(argv, ...)": "change, whose calls are looked at",
    "firstboot/changing.py: run(argv, ...)": "until, a door that others' calls go through",
    "firstboot/verbs/collect.py: run(argv, ...)": "QUESTIONS, looked at below",
}


def example(name: str = "example") -> Profile:
    return load(ROOT / f"profiles/{name}.toml").profile


def with_agents(profile: Profile, *agents: str) -> Profile:
    """The profile with one fence device of each kind for each node."""
    nodes = [
        node.model_copy(
            update={"fencing": [node.fencing[0].model_copy(update={"agent": a}) for a in agents]}
        )
        for node in profile.node
    ]
    return profile.model_copy(update={"node": nodes})


def brought(profile: Profile) -> set[str]:
    return {thing for source in sources(profile) for thing in source.brings}


class Programs(ast.NodeVisitor):
    """What a module starts: the first word of what its `run` calls are given."""

    def __init__(self, path: Path) -> None:
        self._name = str(path.relative_to(ROOT))
        self.found: set[str] = set()
        self.elsewhere: set[str] = set()
        self._scopes: list[dict[str, ast.expr | None]] = []
        self._enter(ast.parse(path.read_text()))

    def _enter(self, scope: ast.Module | ast.FunctionDef) -> None:
        values: dict[str, ast.expr | None] = {}
        if isinstance(scope, ast.FunctionDef):
            named = [*scope.args.posonlyargs, *scope.args.args]
            values |= dict.fromkeys(a.arg for a in (*named, *scope.args.kwonlyargs))
            if scope.args.vararg:
                values[scope.args.vararg.arg] = None
            for argument, default in zip(named[::-1], scope.args.defaults[::-1], strict=False):
                values[argument.arg] = default
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                values.setdefault(node.targets[0].id, node.value)
        self._scopes.append(values)
        self.generic_visit(scope)
        self._scopes.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._enter(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        called = node.func.id if isinstance(node.func, ast.Name) else called
        words = {"run": 0, "_run": 0, "change": 1}.get(called)
        if words is not None and len(node.args) > words:
            program = self._first(node.args[words])
            if program is None:
                text = f"{ast.unparse(node.func)}({ast.unparse(node.args[0])}, ...)"
                self.elsewhere.add(f"{self._name}: {text}")
            else:
                self.found.add(program)
        self.generic_visit(node)

    def _first(self, value: "ast.expr | None") -> "str | None":
        if isinstance(value, ast.List | ast.Tuple):
            return self._first(value.elts[0]) if value.elts else None
        if isinstance(value, ast.Starred):
            return self._first(value.value)
        if isinstance(value, ast.Name):
            scope = next((s for s in reversed(self._scopes) if value.id in s), {})
            return self._first(scope.get(value.id))
        return str(value.value) if isinstance(value, ast.Constant) else None


def modules() -> Iterator[Programs]:
    for path in sorted((ROOT / "firstboot").rglob("*.py")):
        if path.name != "commands.py":
            yield Programs(path)


def test_every_program_the_agent_starts_has_a_package() -> None:
    found = {program for module in modules() for program in module.found}
    assert {"ip", "drbdadm", "crm_mon", "ipmitool", "virsh", "openssl", "crm_standby"} <= found
    assert host.SYSTEMD_SYSCTL in brought(example())
    assert found - brought(example()) == set()


def test_no_program_is_started_unseen() -> None:
    """A call whose program this test cannot read off is one that ELSEWHERE answers for."""
    assert {text for module in modules() for text in module.elsewhere} == set(ELSEWHERE)


def test_what_collect_asks() -> None:
    tree = ast.parse((ROOT / "firstboot/verbs/collect.py").read_text())
    (questions,) = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "QUESTIONS"
    )
    assert isinstance(questions, ast.Dict)
    asked = {ast.literal_eval(value)[0] for value in questions.values}
    assert {"crm_mon", "dlm_tool"} <= asked
    assert asked - brought(example()) == set()


def test_every_unit_the_agent_works_with_has_a_package() -> None:
    own = {"ksnode.service", "ksbuild-gate.service", "ksbuild-health.service"}
    text = "".join(p.read_text() for p in (ROOT / "firstboot").rglob("*.py"))
    units = set(re.findall(r'"([A-Za-z0-9@-]+\.(?:service|socket))"', text))
    assert set(guests.SOCKETS) <= units
    assert units - brought(example()) - own == set()


def test_every_resource_agent_of_the_cluster_has_a_package() -> None:
    tree = ET.fromstring(cib.text(pair(example())))  # noqa: S314 - our own
    agents = {
        f"ocf:{p.get('provider')}:{p.get('type')}"
        for p in tree.iter("primitive")
        if p.get("class") == "ocf"
    }
    assert len(agents) == 3
    assert agents - brought(example()) == set()


def test_every_module_preflight_looks_for_has_a_package() -> None:
    """gfs2 and dlm come with the kernel; DRBD 9 with ELRepo's package of that very name."""
    assert preflight.MODULES["drbd"] in packages(example())
    assert "drbd.ko" in brought(example())


@pytest.mark.parametrize("agent", sorted(fencedevice.AGENTS))
def test_only_the_fence_agents_that_are_used(agent: str) -> None:
    profile = with_agents(example(), agent)
    assert fencedevice.AGENTS[agent] in brought(profile)
    asked = {name for name in packages(profile) if name.startswith("fence-")}
    assert len(asked) == 1
    assert "ipmitool" in packages(profile), "the account is made in-band, for Redfish too"


def test_a_device_of_the_profiles_own_brings_its_own_package() -> None:
    assert not [n for n in packages(with_agents(example(), "custom")) if n.startswith("fence-")]


def test_the_list_is_the_profiles() -> None:
    profile = example()
    install = profile.install.model_copy(update={"packages": ["vim", "@base", "chrony"]})
    wanted = packages(profile.model_copy(update={"install": install}))
    assert wanted[:2] == ("@base", "@core")
    assert list(wanted[2:]) == sorted({*packages(profile)[1:], "vim"})


def test_the_labs_list_is_what_its_debian_has() -> None:
    wanted = set(packages(example("lab")))
    assert wanted - {"@core"} <= {*PACKAGES, *CLUSTER_PACKAGES}
    assert not {"kmod-drbd9x", "libvirt-daemon-kvm", "firewalld"} & wanted
