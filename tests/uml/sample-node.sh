#!/bin/bash
# Runs at the sample node's boot; says on the console when its result is on the disk.
exec 3> /var/lib/sample.result

meet() { # meet WHAT ADDRESS: note when the address answers
  for ((try = 0; try < 60; try++)); do
    ping -c1 -W1 -q "$2" >&2 && echo "$1: up" >&3 && return
  done
}

cat /proc/sys/kernel/hostname >&3
meet bond 192.168.7.@PEER@
meet uplink 10.9.0.@PEER@
grep -E 'Bonding Mode|Slave Interface' /proc/net/bonding/bond0 >&3
for place in / /boot /boot/efi; do findmnt -rno TARGET,FSTYPE "$place" >&3; done
swapon --show=NAME --noheadings --raw >&3
readlink /etc/localtime >&3
sync
echo "sample: met" > /dev/console
while ping -c1 -W1 -q 192.168.7.@PEER@ >&2; do sleep 0.2; done
echo "sample: apart" > /dev/console
meet "bond again" 192.168.7.@PEER@
sync
echo "not synced" > /var/lib/sample.later
echo "sample: done" > /dev/console
