"""Who may import whom, and what every module may be. design.md "Layout" gives the rules."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILDER = sorted((ROOT / "builder").rglob("*.py"))
AGENT = sorted((ROOT / "firstboot").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
BUILDER_MAY_TAKE = {
    *("firstboot.node", "firstboot.render", "firstboot.seed", "firstboot.sequence"),
    "firstboot.thresholds",
    "firstboot.whom",
}
# What a pure module may import; anything else could touch a file, the clock or the network.
PURE_MODULES = {
    *("ast", "base64", "collections", "dataclasses", "enum", "functools", "hashlib", "hmac", "io"),
    *("ipaddress", "json", "math"),
    *(
        "re",
        "shlex",
        "tokenize",
        "typing",
        "uuid",
        "warnings",
        "xml",
        "zipfile",
        "jinja2",
        "pykickstart",
    ),
}
PURE_OURS = (
    "builder.errors",
    "builder.plan",
    "builder.profile",
    "firstboot.node",
    "firstboot.render",
    "firstboot.thresholds",
)
PURE_NAMES = {
    "functools",
    "firstboot",
    "firstboot.VERSION",
    "firstboot.configfile",
    "firstboot.sequence",
    "firstboot.whom",
}
PROGRAM_CALLS = re.compile(r"^(system|popen|fork|exec\w*|spawn\w*|posix_spawn\w*)$")
PURE = [p for p in (*BUILDER, *AGENT) if {"plan", "render"} & set(p.relative_to(ROOT).parts[:-1])]


def name(source: Path) -> str:
    return str(source.relative_to(ROOT))


def imports(source: Path) -> set[str]:
    """Every module a source imports, wherever it does so; type checking blocks count as well."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import"
            assert node.module
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("source", AGENT, ids=name)
def test_agent_takes_nothing_but_the_standard_library(source: Path) -> None:
    tops = {module.split(".")[0] for module in imports(source)}
    assert tops <= sys.stdlib_module_names | {"firstboot"}


@pytest.mark.parametrize("source", AGENT, ids=name)
def test_agent_is_python_3_9(source: Path) -> None:
    ast.parse(source.read_text(), feature_version=(3, 9))


@pytest.mark.parametrize("source", BUILDER, ids=name)
def test_builder_takes_only_the_pure_parts_of_the_agent(source: Path) -> None:
    taken = {module for module in imports(source) if module.split(".")[0] == "firstboot"}
    allowed = {m for m in taken if any(m == a or m.startswith(a + ".") for a in BUILDER_MAY_TAKE)}
    assert taken - allowed <= {"firstboot", "firstboot.VERSION"}


def is_pure(module: str) -> bool:
    if module.split(".", maxsplit=1)[0] in PURE_MODULES or module in PURE_NAMES:
        return True
    ours = (
        "firstboot.configfile.",
        "firstboot.sequence.",
        "firstboot.whom.",
        *(f"{name}." for name in PURE_OURS),
    )
    return module in PURE_OURS or module.startswith(ours)


@pytest.mark.parametrize("source", PURE, ids=name)
def test_planning_and_rendering_touch_nothing(source: Path) -> None:
    taken = imports(source) - {"pathlib", "pathlib.PurePosixPath"}  # a path as a value
    assert not {module for module in taken if not is_pure(module)}
    calls = [n.func for n in ast.walk(ast.parse(source.read_text())) if isinstance(n, ast.Call)]
    assert not {f.id for f in calls if isinstance(f, ast.Name)} & {"open", "exec", "eval", "print"}


GUEST = [p for p in AGENT if p.parent.name == "guest" and p.stem not in {"cluster", "images"}]


@pytest.mark.parametrize("source", GUEST, ids=name)
def test_what_is_decided_of_guests_touches_nothing(source: Path) -> None:
    tops = {module.partition(".")[0] for module in imports(source)}
    assert not tops & {"os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "time"}
    assert not {"firstboot.files", "firstboot.commands"} & imports(source)


SERVE = [p for p in BUILDER if p.parent.name == "serve"]
# What of the server may touch a file, the clock, the network; the rest decides or words.
SERVE_EDGES = {"app", "changes", "dnsmasq", "menus", "run", "store", "webhook", "writer"}
SERVE_EXTRA = {"starlette", "uvicorn", "sqlite3", "asyncio"}


@pytest.mark.parametrize("source", SERVE, ids=name)
def test_the_server_renders_and_opens_nothing_on_request(source: Path) -> None:
    """No template engine, no renderer, and paths only where it is started."""
    taken = imports(source)
    tops = {module.partition(".")[0] for module in taken}
    assert not tops & {"jinja2", "pykickstart", "shutil", "tempfile", "glob"}
    assert not {m for m in taken if m.startswith(("builder.resources", "builder.plan.kickstart"))}
    assert "pathlib" not in tops or source.stem in {"dnsmasq", "menus", "run", "store"}
    if source.stem not in SERVE_EDGES:
        assert not tops & {"os", "time", "socket", "ssl", "threading", "requests", *SERVE_EXTRA} - (
            {"starlette"} if source.stem == "answers" else set()
        )


@pytest.mark.parametrize("source", [p for p in BUILDER if p not in SERVE], ids=name)
def test_the_extra_is_the_servers_alone(source: Path) -> None:
    """Everything else works without it; the command line asks for it when it is typed."""
    taken = imports(source)
    if source.name not in {"booting.py", "reinstall.py", "serve.py"}:
        assert not {module.partition(".")[0] for module in taken} & SERVE_EXTRA
        assert not {module for module in taken if module.startswith("builder.serve")}


def test_there_are_pure_modules() -> None:
    assert {p.parent.name for p in PURE} >= {"plan", "render"}


def test_one_door_for_programs_on_each_side() -> None:
    users = {name(source) for source in (*BUILDER, *AGENT) if "subprocess" in imports(source)}
    assert users == {"firstboot/commands.py", "builder/demo/programs.py"}
    for source in (*BUILDER, *AGENT):
        assert not imports(source) & {"pty", "multiprocessing", "asyncio.subprocess", "posix"}
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert not (node.value.id == "os" and PROGRAM_CALLS.match(node.attr)), source


# Who writes past firstboot/files.py, and why that is no file of the node's.
WRITERS = {
    "firstboot/alerting.py": "what hacluster was told, its own; a lost one costs a message twice",
    "firstboot/files.py": "the door itself",
    "firstboot/rendezvous/authority.py": "openssl's book-keeping, in a folder that goes at once",
    "firstboot/rendezvous/ticket.py": "the lock in /run that one change holds at a time",
    "firstboot/unread.py": "empty marks in /run, gone with the boot",
    "firstboot/verbs/collect.py": "the archive, where the user wants it",
    "firstboot/verbs/converging.py": "the lock in /run that keeps a second agent out",
    "firstboot/verbs/reset.py": "the data partition, erased",
    "firstboot/verification/disk.py": "what is measured is the writing",
    "firstboot/verification/locks.py": "what is measured is the writing",
}
WRITING_METHODS = {"write_text", "write_bytes", "touch", "rename", "symlink_to", "hardlink_to"}
WRITING_CALLS = {
    *("os.replace", "os.rename", "os.link", "os.symlink", "os.mkdir", "os.makedirs", "os.truncate"),
    *("shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree", "shutil.move"),
}


def writes(call: ast.Call) -> bool:
    """Whether a call makes or changes a file, by its name and its mode."""
    function = ast.unparse(call.func)
    last = function.rpartition(".")[2]
    arguments = [ast.unparse(a) for a in (*call.args, *(k.value for k in call.keywords))]
    if function == "os.open":
        return any(re.search(r"O_(WRONLY|RDWR|CREAT)", text) for text in arguments)
    if last in {"open", "fdopen"}:
        return any(re.fullmatch(r"'[rbt]*[wax+][wax+bt]*'", text) for text in arguments)
    return last in WRITING_METHODS | {"mkdir"} or function in WRITING_CALLS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path.open('wb', buffering=0)", True),
        ("open(path, mode='a')", True),
        ("path.open('r+b')", True),
        ("path.open('rb')", False),
        ("path.open(encoding='ascii')", False),
        ("os.open(path, os.O_WRONLY | os.O_APPEND)", True),
        ("os.open(path, os.O_RDONLY | os.O_EXCL)", False),
        ("os.replace(new, old)", True),
        ("text.replace(new, old)", False),
        ("path.write_text(text)", True),
    ],
)
def test_writing_is_recognised(text: str, expected: bool) -> None:
    (call, *_) = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
    assert writes(call) == expected


def test_one_door_for_files() -> None:
    found = {
        name(source)
        for source in AGENT
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call) and writes(node)
    }
    assert found == WRITERS.keys()


@pytest.mark.parametrize("source", [*BUILDER, *AGENT, *TESTS], ids=name)
def test_modules_are_short(source: Path) -> None:
    assert len(source.read_text().splitlines()) <= 300


@pytest.mark.parametrize("source", [*BUILDER, *AGENT], ids=name)
def test_functions_are_short(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if body:
                assert (body[-1].end_lineno or 0) - body[0].lineno < 40, f"{node.name} is too long"


def test_no_drawer_for_odds_and_ends() -> None:
    names = {part for p in (*BUILDER, *AGENT) for part in p.relative_to(ROOT).with_suffix("").parts}
    assert not names & {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base"}
