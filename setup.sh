#!/bin/sh
# Usage: setup.sh run|demo|lab|lab-qemu|test    Makes .venv from the hash-locked lists in requirements/.
#
# Never escalates: Debian packages are installed only when this already runs as root; otherwise the
# one line to run is printed and the exit status is 6 ("environment", see docs/reference.md).
set -eu
cd "$(dirname "$0")"
what=${1:?run, demo, lab, lab-qemu or test}

# demo: tools that assemble the demonstration source; lab: what its machines are made of and run in;
# test: the real programs the tests ask.
demo="grub-common kmod"
lab="$demo createrepo-c dosfstools fdisk gcc iproute2 isolinux libc6-dev mmdebstrap mtools openssh-client
  openssl rpm uidmap user-mode-linux util-linux xorriso"
lab_qemu="$lab qemu-system-x86 seabios zstd"
test="$demo augeas-tools chromium chrony corosync cpio createrepo-c curl dlm-controld dnf dnsmasq-base
  dosfstools drbd-utils e2fsprogs fdisk fence-agents firewalld fonts-dejavu-core gcc gdisk genisoimage
  gfs2-utils gnupg ipmitool ipxe-qemu iproute2 isolinux isomd5sum ksmtuned libc6-dev libvirt-clients
  libvirt-daemon libvirt-daemon-driver-qemu libxml2-utils lvm2 mdadm mmdebstrap mtools network-manager
  nginx-light openipmi openssh-server openssl ovmf pacemaker-cli-utils pcs policycoreutils-python-utils
  procps pxelinux python3-prometheus-client qemu-system-x86 qemu-utils resource-agents rpm seabios
  shellcheck syslinux-utils systemd user-mode-linux util-linux virtinst xfsprogs xorriso zstd"

fit_python() {
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] && "$candidate" -c \
      'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
      { echo "$candidate"; return; }
  done
  return 1
}

missing_packages() {
  for package in $1; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
  done
}

need() { # need PACKAGES...: install as root, else say what to run
  [ $# -gt 0 ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "setup: installing $*" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update && apt-get -qq install -y --no-install-recommends "$@" >/dev/null
  else
    echo "setup: this machine lacks: $*" >&2
    if command -v dnf >/dev/null; then echo "next: sudo dnf install $*" >&2
    else echo "next: sudo apt-get install $*" >&2; fi
    exit 6
  fi
}

if ! python=$(fit_python); then
  if command -v dnf >/dev/null; then need python3.11; else need python3 python3-venv; fi
  python=$(fit_python) || { echo "setup: Python 3.11 or newer is needed" >&2; exit 6; }
fi
# shellcheck disable=SC2046  # lists of package names are meant to be split
case $what in
  demo) need $(missing_packages "$demo") ;;
  lab) need $(missing_packages "$lab") ;;
  lab-qemu) need $(missing_packages "$lab_qemu") && what=lab ;;
  test) need $(missing_packages "$test") ;;
  run) ;;
  *) echo "usage: setup.sh run|demo|lab|lab-qemu|test" >&2; exit 2 ;;
esac
# A set-up that fits is left alone, and the one for tests serves for everything.
fit() { # fit LIST: the stamp of a .venv made from that list
  echo ".venv/ksbuild-$1-$(cat requirements/bootstrap.txt "requirements/$1.txt" pyproject.toml |
    sha256sum | cut -c1-16)"
}
if [ "$what" = lab ] || [ "$what" = test ]; then list="test"; else list="run"; fi
if [ -e "$(fit test)" ] || [ -e "$(fit "$list")" ]; then exit 0; fi
echo "setup: making .venv from requirements/$list.txt" >&2
[ -x .venv/bin/python ] || "$python" -m venv .venv
rm -f .venv/ksbuild-*
pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
pip install --require-hashes -r requirements/bootstrap.txt
pip install --require-hashes --no-build-isolation -r "requirements/$list.txt"
pip install --no-deps --no-build-isolation --editable .
touch "$(fit "$list")"
