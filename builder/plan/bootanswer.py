"""What a node is told that starts from the network: install, start the local disk, or nothing.

iPXE asks by URL and runs the script it gets; GRUB reads the same as a configuration file.
"""

from dataclasses import dataclass

from builder.plan.bootmenu import fetches, network
from builder.profile.model import NodeSection, Profile

KERNEL, INITRD = "images/pxeboot/vmlinuz", "images/pxeboot/initrd.img"


@dataclass(frozen=True, slots=True)
class Images:
    """URLs without a last slash: below `kernel` are kernel and initrd, below `stage2` the rest.

    `trust` is a second initrd with the certificates that the installer is to believe, or nothing.
    """

    kernel: str
    stage2: str
    trust: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The same answer for both kinds of loader."""

    ipxe: str
    grub: str


def images(profile: Profile) -> Images:
    """The installation tree's own."""
    tree = (profile.install.url or "").rstrip("/")
    return Images(tree, tree)


def cmdline(
    profile: Profile, node: NodeSection, kickstart: str, stage2: str, *, again: bool
) -> str:
    """The installer's kernel command line; `kickstart` and `stage2` are URLs.

    Anaconda tells its MACs and the serial number with the request, which the server compares.
    `again` is a human's consent to install a node anew that is there already.
    """
    arguments = [
        f"inst.ks={kickstart}",
        "inst.ks.sendmac",
        "inst.ks.sendsn",
        f"inst.stage2={stage2}",
        "inst.nosave=input_ks,output_ks",
        *(network(profile, (node,)) if fetches(profile) else ["ip=dhcp"]),
        *([f"ksbuild.reinstall={profile.pair.name}-{node.name}"] if again else []),
        *profile.install.kernel_arguments,
    ]
    return " ".join(arguments)


def install(
    profile: Profile, node: NodeSection, kickstart: str, found: Images, *, again: bool
) -> Answer:
    """Start the installer; only iPXE can ask by https, so only it hears of `found.trust`.

    The kernel unpacks all initrds one after the other: BIOS iPXE puts them together, under UEFI the
    kernel's stub reads each that an initrd= names (Documentation/admin-guide/efi-stub.rst).
    """
    trusts = "initrd=trust.cpio " if found.trust else ""
    trusting = f"initrd --name trust.cpio {found.trust}\n" if found.trust else ""
    line = cmdline(profile, node, kickstart, found.stage2, again=again)
    at = found.kernel.partition("://")[2]
    host, _, path = at.partition("/")
    path = f"/{path}" if path else ""
    return Answer(
        f"#!ipxe\necho ksbuild: installing {node.name}\n"
        f"kernel {found.kernel}/{KERNEL} initrd=initrd.img {trusts}{line}\n"
        f"initrd --name initrd.img {found.kernel}/{INITRD}\n{trusting}boot\n",
        f"echo 'ksbuild: installing {node.name}'\n"
        f"linux (http,{host}){path}/{KERNEL} {line}\n"
        f"initrd (http,{host}){path}/{INITRD}\nboot\n",
    )


def local(name: str) -> Answer:
    """Start the disk: under UEFI by leaving, so that the firmware goes on to it."""
    said = f"ksbuild: {name} is installed, starting its disk"
    return Answer(
        f"#!ipxe\necho {said}\niseq ${{platform}} efi && exit 1 ||\n"
        "sanboot --no-describe --drive 0x80\n",
        f"echo '{said}'\n"
        "if [ $grub_platform = efi ]; then exit 1; fi\nset root=(hd0)\nchainloader +1\nboot\n",
    )


def refuse(why: str, then: str) -> Answer:
    """Install nothing and say why on the screen; half a minute later the firmware goes on."""
    said = (f"ksbuild: REFUSED: {why}", f"Next: {then}")
    return Answer(
        "#!ipxe\n" + "".join(f"echo {line}\n" for line in said) + "sleep 30\nexit 1\n",
        "".join(f"echo '{line}'\n" for line in said) + "sleep 30\nexit 1\n",
    )
