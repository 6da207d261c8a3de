"""SELinux: what lies on the shared file system are guests' images. Read by `semanage import`.

EL9's policy has pacemaker's DRBD agent run confined in drbd_t, which may not speak to the kernel's
DRBD (netlink_generic_socket) nor to pacemaker (drbd.te, rhcs.te of selinux-policy): Clusters from
Scratch, "Configure the cluster for DRBD", makes that one domain permissive, and so do we.
"""

from pathlib import PurePosixPath

from firstboot.configfile import ConfigFile
from firstboot.node import Identity

PATH = PurePosixPath("/etc/ksbuild/fcontext")
TYPE = "virt_image_t"
PERMISSIVE = "drbd_t"
# Where libsemanage keeps that word, as a module of its own (seobject.py, permissiveRecords).
MODULES = f"var/lib/selinux/*/active/modules/*/permissive_{PERMISSIVE}"


def render(identity: Identity) -> tuple[ConfigFile, ...]:
    """The rule, or nothing on a platform without SELinux."""
    if not identity.pair.has("selinux"):
        return ()
    label = f"fcontext -a -f a -t {TYPE} -r 's0' '{pattern(identity)}'"
    return (ConfigFile(PATH, f"{label}\npermissive -a {PERMISSIVE}\n"),)


def pattern(identity: Identity) -> str:
    """The paths the rule is for, as file_contexts(5) writes them."""
    return f"{identity.pair.gfs2.mount}(/.*)?"
