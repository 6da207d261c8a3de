"""The programs that EL9's installer leaves to %pre, as a folder of links for its PATH.

From lorax' runtime-install.tmpl and runtime-cleanup.tmpl (rhel9-branch); of what is listed, the
links are made for what this Debian has.
"""

from __future__ import annotations

import shutil
from pathlib import Path

FOLDER = Path("/run/standin/programs")

# coreutils, less what runtime-cleanup.tmpl removes
_COREUTILS = """
    arch b2sum basename cat chgrp chmod chown cp cut date dd df dircolors du echo env expr false fmt
    head id ln ls md5sum mkdir mknod mktemp mv numfmt od paste pinky pwd readlink realpath rm rmdir
    seq sha1sum sha256sum shred sleep sort split stat sync tac tail tee touch tr true tty uname uniq
    wc
"""
_UTIL_LINUX = """
    lsblk blkid blockdev fdisk sfdisk wipefs partx mkswap losetup findmnt mount umount flock hwclock
    logger hexdump getopt lscpu eject kill dmesg fstrim fsfreeze swaplabel swapon swapoff
"""
_OTHERS = """
    bash sh sed grep egrep fgrep awk gawk find xargs python3 udevadm systemctl journalctl modprobe
    lsmod ps lvm mdadm ip ethtool ipmitool dmidecode hdparm smartctl sg_inq nvme curl wget rsync tar
    gzip xz less vi sgdisk lspci
"""


def link_programs() -> str:
    """Make the folder and return its path, for PATH."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in f"{_COREUTILS}{_UTIL_LINUX}{_OTHERS}".split():
        found = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
        link = FOLDER / name
        if found is not None and not link.is_symlink():
            link.symlink_to(found)
    return str(FOLDER)
