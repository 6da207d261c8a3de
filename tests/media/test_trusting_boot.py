"""What iPXE and Linux make of the second initrd by which the installer believes ksbuild serve.

Over plain HTTP, as no iPXE at hand was built to believe a certificate of one's own.
"""

import hashlib
import re
from pathlib import Path

import pytest

from builder.demo.cpio import Entry, archive, folder, link
from builder.plan import bootanswer
from builder.plan.bootanswer import Images
from builder.profile.load import load
from builder.serve import trust
from tests.media.qemu import Firmware
from tests.media.rack import POOL, URL, nodes, rack, write_profile, write_tree

pytestmark = pytest.mark.qemu
PEM = "-----BEGIN CERTIFICATE-----\nbm90IHRydWU=\n-----END CERTIFICATE-----\n"


def like_el9() -> bytes:
    """Where the installer's initrd has its certificates: the file is a link there."""
    names = ["etc/pki", "etc/pki/tls", "etc/pki/tls/certs", "etc/pki/all"]
    bundle = link(trust.BUNDLE, "../../all/bundle.pem")
    return archive(
        [*map(folder, names), Entry("etc/pki/all/bundle.pem", 0o100644, b"all\n"), bundle], 0
    )


@pytest.mark.parametrize("trusts", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_the_installer_believes_this_certificate_alone(
    tmp_path: Path, demo_source: Path, firmware: Firmware, trusts: bool
) -> None:
    profile = write_profile(tmp_path)
    node = nodes(profile)[1]
    mac = node.uplink.ports[0]
    tree = write_tree(profile, demo_source, tmp_path / "tree", "--pool", POOL)
    files = tree / "http"
    initrd = files / bootanswer.INITRD
    theirs = initrd.read_bytes()
    initrd.unlink()  # it is a hard link
    aligned = bytes(-len(theirs) % 4)  # buffer-format.rst: only there may another archive begin
    initrd.write_bytes(theirs + aligned + like_el9())
    (files / trust.PATH).write_bytes(trust.initrd(PEM))
    kickstart = f"{URL}/pairs/00014/{node.name}.ks"
    images = Images(URL, URL, f"{URL}/{trust.PATH}" if trusts else "")
    answer = bootanswer.install(load(profile).profile, node, kickstart, images, again=False)
    (menu,) = files.glob(f"ipxe/{mac.lower().replace(':', '-')}.ipxe")
    menu.unlink()
    menu.write_text(answer.ipxe)
    with (
        rack(tree, tmp_path / "rack") as there,
        there.start(mac, firmware, ipxe=True) as machine,
    ):
        said = machine.wait_for("powering off")
    (digest,) = re.findall(r"certificates: (\w+)", said)
    believed = PEM if trusts else "all\n"
    assert digest == hashlib.sha256(believed.encode()).hexdigest()
    assert f"kickstart found: {kickstart} " in said
