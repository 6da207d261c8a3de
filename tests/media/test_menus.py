"""The boot menus as text; tests/media/test_boots.py starts them."""

import subprocess
from pathlib import Path

import pytest

from builder.media.source import open_source
from tests.media.menus import CONSOLE, Choice, render


def menu(iso: Path, template: str, default: str | None, **changes: object) -> str:
    with open_source(iso) as source:
        return render(template, source, default, **changes).decode()


@pytest.mark.parametrize("default", [None, "node-b"])
def test_grub_understands_it(el9_iso: Path, default: str | None) -> None:
    text = menu(el9_iso, "grub.cfg.j2", default)
    checked = subprocess.run(["grub-script-check"], input=text, text=True, check=False)
    assert checked.returncode == 0


def test_without_a_default_it_waits(el9_iso: Path) -> None:
    grub, isolinux = (
        menu(el9_iso, name, None).splitlines() for name in ("grub.cfg.j2", "isolinux.cfg.j2")
    )
    assert "set timeout=-1" in grub
    assert "timeout 0" in isolinux
    assert not any(line.startswith(("default", "set default")) for line in grub + isolinux)


@pytest.mark.parametrize(("seconds", "tenths"), [(0, 1), (1, 10), (30, 300)])
def test_with_a_default_it_starts(el9_iso: Path, seconds: int, tenths: int) -> None:
    grub = menu(el9_iso, "grub.cfg.j2", "node-b", timeout_s=seconds).splitlines()
    assert "set default='node-b'" in grub
    assert f"set timeout={seconds}" in grub
    isolinux = menu(el9_iso, "isolinux.cfg.j2", "node-b", timeout_s=seconds).splitlines()
    assert "default node-b" in isolinux
    assert f"timeout {tenths}" in isolinux


def test_demonstration_is_said(el9_iso: Path, demo_source: Path) -> None:
    for name in ("grub.cfg.j2", "isolinux.cfg.j2"):
        assert "demonstration: installs nothing" in menu(demo_source, name, None)
        assert "demonstration" not in menu(el9_iso, name, None).replace(CONSOLE, "")


def test_words_are_quoted_for_grub(el9_iso: Path) -> None:
    line = "inst.ks=hd:LABEL=X:/a inst.repo=http://h/?a=b&c;d $e"
    entries = [Choice("a", 'it\'s "a" menu', line)]
    text = menu(el9_iso, "grub.cfg.j2", None, entries=entries, title="'t'")
    assert "'inst.repo=http://h/?a=b&c;d' '$e'\n" in text
    assert "menuentry 'its \"a\" menu' --id 'a' {" in text
    checked = subprocess.run(["grub-script-check"], input=text, text=True, check=False)
    assert checked.returncode == 0


def test_words_of_the_sources_grub_are_used(el9_iso: Path) -> None:
    text = menu(el9_iso, "grub.cfg.j2", None)
    assert "  linuxefi /images/pxeboot/vmlinuz 'inst.ks=" in text
    assert "\n  initrdefi /images/pxeboot/initrd.img\n}" in text
    other = menu(el9_iso, "grub.cfg.j2", None, grub_linux="linux", grub_initrd="initrd")
    assert "  linux /images/pxeboot/vmlinuz 'inst.ks=" in other
    assert "\n  initrd /images/pxeboot/initrd.img\n}" in other
