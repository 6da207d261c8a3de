"""What the installer will find: read yum repositories and resolve a kickstart's %packages.

`folder`, `web` and `medium` read a repository, `resolve` answers whether everything wanted can be
installed from some of them, `extras` takes a local repository onto the medium, `defaults` knows
where Enterprise Linux 9 keeps its packages.
"""
