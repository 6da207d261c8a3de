"""The stand-in installer: Anaconda's order of work, on Debian, in a machine of the lab.

Usage, by /init: python3 -m tests.uml.installer.install OUT ROOTFS.tar
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

from tests.uml.installer.report import InstallationError, Report

# pykickstart is slow to import, and a verdict is wanted even if that fails.


def install(out: Path, rootfs: Path, report: Report) -> None:
    """Find and carry out the kickstart; InstallationError says why not."""
    from tests.uml.installer import kickstart, scripts, source

    arguments = source.command_line(Path("/proc/cmdline").read_text())
    with report.stage("kickstart"):
        kept = source.fetch_kickstart(arguments)
        source.mount_repository(arguments)
        before = kickstart.read_pre_scripts(kept)
    with report.stage("pre"):
        for script in before:
            scripts.run(script, "pre", out, report)
    with report.stage("parse"):
        handler = kickstart.read(kept, report)
    try:
        _carry_out(handler, kept, source.nosave(arguments), (out, rootfs), report)
    except Exception:
        for script in kickstart.scripts(handler, "onerror"):
            scripts.run(script, "onerror", out, report)
        raise
    report.ending = kickstart.ending(handler)


def _carry_out(
    handler: Any, kept: Path, unwanted: set[str], places: tuple[Path, Path], report: Report
) -> None:
    from tests.uml.installer import bootloader, kickstart, scripts, storage, target

    out, rootfs = places
    with report.stage("storage"):
        mounts = storage.plan(handler)
        storage.make_file_systems(mounts)
        storage.mount_all(mounts)
        uuids = storage.file_system_uuids(mounts)
    for script in kickstart.scripts(handler, "pre-install"):
        scripts.run(script, "pre-install", out, report)
    with report.stage("payload"):
        target.unpack(rootfs)
        storage.mount_kernel_views()
    with report.stage("configuration"):
        (scripts.SYSROOT / "etc/fstab").write_text(storage.fstab(mounts, uuids))
        target.configure(handler, report)
    with report.stage("bootloader"):
        words = Path("/proc/cmdline").read_text().split()
        bootloader.install(handler.bootloader, mounts, uuids, words, report)
    with report.stage("post"):
        for script in kickstart.scripts(handler, "post"):
            scripts.run(script, "post", out, report)
    with report.stage("close"):
        target.save_traces(kept, handler, unwanted)
        storage.unmount_all()


def main(out: Path, rootfs: Path) -> None:
    """Install, and leave the verdict whatever happens."""
    report = Report()
    try:
        install(out, rootfs, report)
        report.verdict, report.reason = "SUCCESS", ""
    except InstallationError as error:
        report.fail(str(error), error.script_tail)
    except BaseException:  # noqa: BLE001  also a defect of this program is a verdict
        report.fail(traceback.format_exc())
    report.write(out)
    print(f"stand-in: {report.verdict} {report.reason}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
