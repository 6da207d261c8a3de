"""Sphinx configuration of the manual."""

project = "ksbuild"
author = "the ksbuild authors"
copyright = "the ksbuild authors"  # noqa: A001 - Sphinx's own name
extensions = ["myst_parser"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = True
