"""What the example's %packages asks for, and its profile with repositories of this machine."""

import re
from pathlib import Path

from builder.plan.packages import packages
from builder.profile.load import load

EXAMPLE = Path(__file__).parents[2] / "profiles/example.toml"
COMPS = """<comps><group><id>core</id><name>Core</name><packagelist>
<packagereq type="mandatory">bash</packagereq></packagelist></group></comps>"""
NAMES = [name for name in packages(load(EXAMPLE).profile) if not name.startswith("@")]
THERE = [*NAMES, "bash", "kernel"]


def example_at(url: str, *names: str) -> str:
    """The example's text, installed from `url` alone; `names` of its repositories stay."""
    text = re.sub(r'^url = ".*"', f'url = "{url}"', EXAMPLE.read_text(), flags=re.MULTILINE)
    lines = text.splitlines(keepends=True)
    dropped = [
        line
        for line in lines
        if line.startswith("    { name = ") and not any(f'"{name}"' in line for name in names)
    ]
    return "".join(line for line in lines if line not in dropped)
