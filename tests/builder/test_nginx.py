"""The real nginx with the tree's configuration: who is answered what."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.plan import Plan, netboot
from builder.plan.netboot import Site
from tests.builder.test_netboot import files_of

STRANGER = "52-54-00-00-00-99"
NODE = "00-25-b3-22-e1-3c"
_ADDRESSES = ("10.0.0.5", "10.0.0.113", "10.0.0.77")
# Standard input ends with the test, and all that runs in the namespace with it.
_SERVE = """
ip link set lo up
for address in $2; do ip address add $address/32 dev lo; done
nginx -e stderr -p "$1" -c "$1/nginx.conf" &
until curl -s -o "$1/up" http://10.0.0.5/; do kill -0 $!; sleep 0.05; done
echo ready
while read -r from url; do
  curl -s -o "$1/body" -w '%{http_code}\\n' --interface "$from" "http://10.0.0.5$url"
done
kill $!
"""


class Web:
    """nginx in a network of its own, with the tree at `base`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, base: str) -> None:
        self._process, self._folder, self._base = process, folder, base

    def ask(self, path: str, *, by: str = "10.0.0.77") -> tuple[int, bytes]:
        """Status and body."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(by, f"{self._base}/{path}", file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        return status, (self._folder / "body").read_bytes()


@pytest.fixture(params=["", "/ks"], ids=["root", "path"])
def web(request: pytest.FixtureRequest, example: Plan, tmp_path: Path) -> Iterator[Web]:
    site = Site(f"http://10.0.0.5{request.param}", str(tmp_path / "tree"), False, True)
    for path, content in files_of(example.profile, site).items():
        (tmp_path / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / path).write_bytes(content)
    kinds = ("client_body", "fastcgi", "proxy", "scgi", "uwsgi")
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; user root root; pid {tmp_path}/pid; events {{}}\n"
        f"http {{ access_log off; include {tmp_path}/tree/{netboot.NGINX};\n"
        + "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in kinds)
        + "}\n"
    )
    argv = ["unshare", "-Urn", "sh", "-eu", "-c", _SERVE, "sh", str(tmp_path), " ".join(_ADDRESSES)]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Web(process, tmp_path, request.param)


def test_a_stranger_is_answered_in_its_loaders_language(web: Web) -> None:
    """With 200, as a loader may take a 404's page for a menu; and it is no other node's menu."""
    for name, refusal in netboot.REFUSALS.items():
        end = ".ipxe" if name == "ipxe/" else ""
        status, body = web.ask(f"{name}{STRANGER}{end}")
        assert status == 200
        assert b"REFUSED: no profile has a node with the port " in body
        assert body == web.ask(refusal)[1]
        assert body.startswith(b"#!ipxe\n") == (name == "ipxe/"), "iPXE runs nothing else"
        assert b"<html" not in body
        known, menu = web.ask(f"{name}{NODE}{end}")
        assert known == 200
        assert b"inst.ks=" in menu


def test_what_is_not_there_is_not_found(web: Web) -> None:
    """Loaders go on to the next name at a 404: GRUB asks by UUID before it does by MAC."""
    for path in ("EFI/BOOT/grub.cfg-4c4c4544-0000", "images/none", "EFI/BOOT/grub.cfg-0A000071"):
        assert web.ask(path)[0] == 404


def test_kickstarts_are_for_their_nodes_addresses_alone(web: Web) -> None:
    path = "pairs/00014/julius.ks"
    assert web.ask(path, by="10.0.0.113")[0] == 200
    for address in ("10.0.0.77", "10.0.0.5"):
        assert web.ask(path, by=address)[0] == 403
    assert web.ask("pairs/")[0] == 403
