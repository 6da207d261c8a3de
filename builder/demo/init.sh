#!/usr/bin/bash
# Stands for the installer on a demonstration medium: it finds and reads the kickstart by the
# address on the kernel's command line, as Anaconda's dracut does for hd: and http:, and installs
# nothing.
#
# Kernel command line:
#   inst.ks=hd:DEVICE[:PATH]   DEVICE is LABEL=..., UUID=... or a device; PATH defaults to /ks.cfg
#   inst.ks=http://HOST[:PORT]/PATH
#   ip=ADDRESS::GATEWAY:NETMASK::MAC-WITH-DASHES:none   the network for that
#   ksbuild.demo=poweroff      power off when done, instead of a shell on screen and serial line
export PATH=/usr/bin:/usr/sbin
wait_s=60
ks=/run/install/ks.cfg

# These come first: without them there is no way to tell anyone anything.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/pts /run/install
mount -t devpts devpts /dev/pts
ln -s /proc/self/fd /dev/fd # bash's <( )
# The kernel's own messages would cut our lines in two on the serial line.
echo 3 >/proc/sys/kernel/printk

# The screen and the serial line, whichever of them is there; only the last console= on the command
# line is /dev/console.
outputs=()
for terminal in tty1 ttyS0; do
  stty -F "/dev/$terminal" sane 2>/dev/null && outputs+=("/dev/$terminal")
done
[ "${#outputs[@]}" -gt 0 ] || outputs=(/dev/console)

say() {
  local output
  for output in "${outputs[@]}"; do
    printf 'ksbuild-demo: %s\n' "$*" >"$output"
  done
}

argument() { # argument NAME: the last value on the kernel's command line
  local word value=
  for word in $(</proc/cmdline); do
    case $word in "$1="*) value=${word#"$1="} ;; esac
  done
  printf '%s' "$value"
}

start_devices() {
  /usr/lib/systemd/systemd-udevd --daemon
  udevadm trigger --type=subsystems --action=add
  udevadm trigger --type=devices --action=add
  udevadm settle --timeout=30
}

device_path() { # dracut's disk_to_dev_path: blanks and slashes as udev escapes them
  local label
  case $1 in
    LABEL=* | CDLABEL=*)
      label=${1#*LABEL=}
      label=${label//\//\\x2f}
      printf '/dev/disk/by-label/%s' "${label// /\\x20}"
      ;;
    UUID=*) printf '/dev/disk/by-uuid/%s' "${1#UUID=}" ;;
    /dev/*) printf '%s' "$1" ;;
    *) printf '/dev/%s' "$1" ;;
  esac
}

start_network() { # as ip= says; whichever of its ports is here
  local word address gateway mask mac port
  for word in $(</proc/cmdline); do
    case $word in ip=*) ;; *) continue ;; esac
    IFS=: read -r address _ gateway mask _ mac _ <<<"${word#ip=}"
    for port in /sys/class/net/*; do
      [ "$(<"$port/address")" = "${mac//-/:}" ] || continue
      ip link set "${port##*/}" up
      ip address add "$address/$mask" dev "${port##*/}"
      ip route add default via "$gateway"
    done
  done
}

headers() { # what Anaconda tells with inst.ks.sendmac and inst.ks.sendsn, a line each
  local number=0 port
  case " $(</proc/cmdline) " in *' inst.ks.sendmac '*)
    for port in /sys/class/net/*; do
      [ -e "$port/device" ] || continue
      printf 'X-RHN-Provisioning-MAC-%s: %s %s\r\n' "$number" "${port##*/}" "$(<"$port/address")"
      number=$((number + 1))
    done
    ;;
  esac
  case " $(</proc/cmdline) " in *' inst.ks.sendsn '*)
    printf 'X-System-Serial-Number: %s\r\n' "$(cat /sys/class/dmi/id/product_serial)"
    ;;
  esac
}

fetch_over_http() { # fetch_over_http URL: with bash alone
  local place=${1#http://} host path status line tries=0
  host=${place%%/*} path=/${place#*/}
  case $host in *:*) ;; *) host=$host:80 ;; esac
  start_network
  # A switch, and a card under emulation, take their time until frames get through.
  until { exec 3<>"/dev/tcp/${host%:*}/${host##*:}"; } 2>/dev/null; do
    [ "$tries" -lt 20 ] || { say "$host does not answer" && return 1; }
    sleep 1
    tries=$((tries + 1))
  done
  {
    printf 'GET %s HTTP/1.0\r\nHost: %s\r\n' "$path" "${host%:80}"
    headers
    printf '\r\n'
  } >&3
  read -r _ status _ <&3
  while read -r line && [ "$line" != $'\r' ]; do :; done <&3
  [ "$status" = 200 ] || { say "$1 answers $status" && return 1; }
  cat <&3 >"$ks"
}

fetch_kickstart() { # fetch_kickstart ADDRESS: copy it to $ks, or say why not
  local rest device path waited=0
  case $1 in
    hd:*) rest=${1#hd:} ;;
    http://*/*)
      fetch_over_http "$1"
      return
      ;;
    '') say 'no inst.ks= on the command line' && return 1 ;;
    *) say "this demonstration reads inst.ks=hd: and http: only, not $1" && return 1 ;;
  esac
  device=$(device_path "${rest%%:*}")
  path=/ks.cfg
  case $rest in *:?*) path=${rest#*:} ;; esac
  until [ -b "$device" ]; do
    [ "$waited" -lt "$wait_s" ] || { say "no $device after $wait_s s" && return 1; }
    sleep 1
    waited=$((waited + 1))
  done
  mount -o ro "$device" /mnt || { say "$device cannot be mounted" && return 1; }
  cp "/mnt/${path#/}" "$ks"
  local status=$?
  umount /mnt
  [ "$status" = 0 ] || { say "no $path on $device" && return 1; }
}

# `make try` only: QEMU says so by its own device, which no real server has. The kickstart's real
# %pre scripts run against the machine's blank disk, as Anaconda runs them.
try_pre() {
  local script status disk
  say 'no network here: the repositories are taken as answering'
  mkdir -p /tmp/bin
  printf '#!/usr/bin/bash\nexit 0\n' >/tmp/bin/curl
  # A restart as systemd and dracut do it: dracut's hooks, then the firmware or the loaded kernel.
  mkdir -p /run/initramfs/usr/lib/dracut/hooks/shutdown
  cat >/tmp/bin/systemctl <<'END'
#!/usr/bin/bash
case $* in reboot | kexec) ;; *) exit 1 ;; esac
for hook in /run/initramfs/usr/lib/dracut/hooks/shutdown/*.sh; do bash "$hook"; done
sync
[ "$*" = reboot ] || kexec -e
echo b >/proc/sysrq-trigger
END
  chmod +x /tmp/bin/curl /tmp/bin/systemctl
  awk '/^%pre( |$)/ { n++; name = "/tmp/pre-" n ".sh"; print "#!/bin/bash" > name; next }
       /^%end/ { name = "" }
       name { print > name }' "$ks"
  for script in /tmp/pre-*.sh; do
    PATH=/tmp/bin:$PATH bash "$script" >/tmp/ksbuild-pre.log 2>&1
    status=$?
    while read -r line; do say "pre: $line"; done </tmp/ksbuild-pre.log
    [ "$status" = 0 ] || { say "%pre refused or failed ($status): nothing would be installed"; return; }
  done
  while read -r word disk; do
    case $word in
      ignoredisk) disk=${disk#--only-use=} && break ;;
    esac
  done </tmp/ksbuild-disk.ks
  say "the disk $disk is now:"
  sfdisk -l -o Device,Start,Sectors,Size,Name "/dev/$disk" | while read -r line; do say "$line"; done
}

shell_on() { # shell_on TERMINAL: a shell there, for ever
  while :; do
    setsid --wait --ctty bash --login <>"$1" >&0 2>&0
    sleep 1
  done
}

finish() {
  local terminal
  say 'demonstration: installs nothing'
  if [ "$(argument ksbuild.demo)" = poweroff ]; then
    say 'powering off'
    sync
    echo o >/proc/sysrq-trigger
    sleep 60
  fi
  say 'power off or remove the medium whenever you like; here is a shell'
  for terminal in "${outputs[@]}"; do
    shell_on "$terminal" &
  done
  wait
}

say 'demonstration: installs nothing'
say "command line: $(</proc/cmdline)"
bundle=/etc/pki/tls/certs/ca-bundle.crt # what Anaconda's curl believes
[ ! -e "$bundle" ] || say "certificates: $(sha256sum <"$bundle")"
start_devices
address=$(argument inst.ks)
if fetch_kickstart "$address"; then
  read -r sum _ < <(sha256sum "$ks")
  say "kickstart found: $address sha256=$sum bytes=$(stat -c %s "$ks")"
  if [ -e /sys/firmware/qemu_fw_cfg/by_name/opt/ksbuild/try/raw ]; then
    try_pre
  fi
else
  say "kickstart not found: $address"
fi
finish
