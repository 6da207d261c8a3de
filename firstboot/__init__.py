"""The first-boot agent of a ksbuild pair: Python 3.9, standard library only.

Shipped to the node as one file, ``firstboot.pyz``, whose command is ``ksnode``.
"""

VERSION = "0.1.0"
