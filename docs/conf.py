"""Sphinx configuration of the manual."""

from pathlib import Path

from builder.profile.reference import markdown

# The page of keys comes from the model, so that it cannot say anything else.
Path(__file__).with_name("profile.md").write_text(markdown())

project = "ksbuild"
author = "the ksbuild authors"
copyright = "the ksbuild authors"  # noqa: A001 - Sphinx's own name
extensions = ["myst_parser"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = True
man_pages = [
    ("reference", "ksbuild", "commands, exit statuses and files of ksbuild and ksnode", author, 7),
    ("profile", "ksbuild-profile", "every key of the page that describes a pair", author, 5),
]
