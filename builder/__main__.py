"""`python -m builder` is `ksbuild`."""

from builder.cli import main

main()
