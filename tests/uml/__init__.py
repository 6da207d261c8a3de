"""Whole machines in User-mode Linux: see lab.py, machine.py, installation.py and disk.py.

images.prepare() makes what they boot; installation.install() runs the built kickstart in a machine
that stands in for Anaconda's; installation.start_node() boots the result; disk.read_files() looks.
"""
