"""Guests on two nodes: real libvirt, QEMU and systemd in namespaces of their own."""
