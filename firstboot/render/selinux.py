"""SELinux: what lies on the shared file system are guests' images. Read by `semanage import`."""

from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity

PATH = PurePosixPath("/etc/ksbuild/fcontext")
TYPE = "virt_image_t"


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """The rule, or nothing on a platform without SELinux."""
    if not identity.pair.has("selinux"):
        return ()
    return (ConfigFile(PATH, f"fcontext -a -f a -t {TYPE} -r 's0' '{pattern(identity)}'\n"),)


def pattern(identity: Identity) -> str:
    """The paths the rule is for, as file_contexts(5) writes them."""
    return f"{identity.pair.gfs2.mount}(/.*)?"
