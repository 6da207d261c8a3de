"""The lab's servers as QEMU machines; see machine.py for what they have that others lack."""
