"""Mode `patch` against xorriso and implantisomd5 doing mkksiso's work on the same source.

    python -m bench.patch [--megabytes 1000] [--rounds 5] [--folder build/bench]

Every round runs every way once, one after another, so that a busy machine is busy for all of them;
the table has the medians. "patch" is mkksiso's work and no more, in a Python of its own, and what
CPU is compared by; "iso" is the command as a user types it, with profile, keys, kickstarts and
sha256, but without asking the repositories; most of what it takes more is importing its libraries.
CPU is user and system time of all processes of a way. "written" is what the kernel was given to
write (ru_oublock); on XFS, what reached the loop device (its `stat`), the file system's log
included. Takes root for the loop device.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.media.source import REQUIRED

MEGA = 1_000_000
LABEL = "BENCH-9-x86_64-dvd"
MENU = "menuentry 'Install' {\n\tlinuxefi /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=X quiet\n}\n"
PATCH = """
import sys
from pathlib import Path
from builder.media.patch.medium import patch_medium

source, out, kickstart, menu, md5 = sys.argv[1:]
text = Path(menu).read_bytes()
tree = {"ks.cfg": Path(kickstart).read_bytes()}
tree |= {"EFI/BOOT/grub.cfg": text, "isolinux/isolinux.cfg": text}
patch_medium(Path(out), tree, Path(source), when=0, md5=md5, force=True)
"""
PROFILE = Path(__file__).parents[1] / "profiles/example.toml"


@dataclass(frozen=True)
class Cost:
    """Seconds of processor and wall time, bytes written, peak memory in bytes."""

    cpu: float
    wall: float
    written: float
    memory: float


def run(log: Path, *commands: list[str | Path]) -> Cost:
    """Run programs one after another and add up what they cost; memory is the largest one's."""
    cpu, written, memory, start = 0.0, 0, 0, time.monotonic()
    for command in commands:
        argv = [str(word) for word in command]
        with log.open("wb") as output:
            process = subprocess.Popen(argv, stdout=output, stderr=output)
            _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(argv)}: {log.read_text(errors='replace')[-2000:]}")
        cpu += used.ru_utime + used.ru_stime
        written += used.ru_oublock * 512
        memory = max(memory, used.ru_maxrss * 1024)
    return Cost(cpu, time.monotonic() - start, written, memory)


def make_source(folder: Path, megabytes: int) -> Path:
    """Write an ISO as lorax does, most of it random bytes."""
    tree, iso, log = folder / "tree", folder / "source.iso", folder / "log"
    for name in ("isolinux", "EFI/BOOT", "images/pxeboot", "Packages"):
        (tree / name).mkdir(parents=True)
    shutil.copy("/usr/lib/ISOLINUX/isolinux.bin", tree / "isolinux")
    for name in set(REQUIRED) - {"isolinux/isolinux.bin"}:
        (tree / name).write_bytes(os.urandom(MEGA // 10))
    for name in ("EFI/BOOT/grub.cfg", "isolinux/isolinux.cfg"):
        (tree / name).write_text(MENU)
    (tree / "EFI/BOOT/BOOTX64.EFI").write_bytes(os.urandom(MEGA))
    (tree / ".discinfo").write_text("1.0\nBench 9.0\nx86_64\n")
    for number in range(megabytes):
        (tree / f"Packages/{number:05}.rpm").write_bytes(os.urandom(MEGA))
    image = tree / "images/efiboot.img"
    boot = "-b isolinux/isolinux.bin -c isolinux/boot.cat -boot-load-size 4 -boot-info-table"
    boot += " -no-emul-boot -eltorito-alt-boot -e images/efiboot.img -no-emul-boot"
    boot += " -isohybrid-mbr /usr/lib/ISOLINUX/isohdpfx.bin -isohybrid-gpt-basdat"
    run(
        log,
        ["mkfs.msdos", "-C", "-n", "ANACONDA", image, "4096"],
        ["mcopy", "-s", "-i", image, tree / "EFI", "::"],
        ["xorriso", "-as", "mkisofs", *boot.split(), "-R", "-J", "-V", LABEL, "-o", iso, tree],
        ["implantisomd5", "--force", iso],
    )
    shutil.rmtree(tree)
    return iso


def other(folder: Path, source: Path, kickstart: Path, menu: Path) -> Cost:
    """What mkksiso does (pylorax/cmdline/mkksiso.py): menus, system partition, copy, checksum."""
    out, image, log = folder / "other.iso", folder / "efiboot.img", folder / "log"
    for old in (out, image):
        old.unlink(missing_ok=True)
    read: list[str | Path] = ["xorriso", "-indev", source]
    write: list[str | Path] = [
        "xorriso",
        "-indev",
        source,
        "-outdev",
        out,
        "-boot_image",
        "any",
        "replay",
    ]
    for path in ("/EFI/BOOT/grub.cfg", "/isolinux/isolinux.cfg"):
        write += ["-update", menu, path]
    return run(
        log,
        [*read, "-find", "/"],
        [*read, "-osirrox", "on", "-extract", "/images/efiboot.img", image],
        ["mcopy", "-o", "-i", image, menu, "::EFI/BOOT/grub.cfg"],
        [*write, "-update", image, "/images/efiboot.img", "-map", kickstart, "/ks.cfg"],
        ["implantisomd5", "--force", out],
    )


def patch(source: Path, out: Path, kickstart: Path, menu: Path, md5: str) -> Cost:
    """The patcher alone, given what mkksiso is given."""
    out.unlink(missing_ok=True)
    log = out.with_suffix(".log")
    return run(log, [sys.executable, "-c", PATCH, source, out, kickstart, menu, md5])


def command(source: Path, out: Path, *more: str) -> Cost:
    """The command as a user types it."""
    out.unlink(missing_ok=True)
    log, keys = out.with_suffix(".log"), out.parent / "keys"
    start: list[str | Path] = [sys.executable, "-m", "builder", "iso", PROFILE, "--offline"]
    return run(log, [*start, "--source", source, "-o", out, "--keys", keys, *more])


@contextmanager
def xfs(folder: Path, megabytes: int) -> Iterator[tuple[Path, Path]]:
    """Mount a reflink file system; yield its folder and the statistics of its loop device."""
    image, place, log = folder / "xfs.img", folder / "xfs", folder / "log"
    with image.open("wb") as file:
        file.truncate((megabytes * 2 + 600) * MEGA)
    place.mkdir()
    run(log, ["mkfs.xfs", "-q", "-m", "reflink=1", image], ["mount", "-o", "loop", image, place])
    try:
        run(log, ["findmnt", "-n", "-o", "SOURCE", place])
        yield place, Path("/sys/block") / Path(log.read_text().strip()).name / "stat"
    finally:
        run(log, ["umount", place])


def on_xfs(statistics_file: Path, way: Callable[[], Cost]) -> Cost:
    """Measure a way by what reaches the device; the seventh number is sectors written."""
    os.sync()
    before = int(statistics_file.read_text().split()[6])
    cost = way()
    os.sync()
    sectors = int(statistics_file.read_text().split()[6]) - before
    return Cost(cost.cpu, cost.wall, sectors * 512, cost.memory)


def measure(folder: Path, megabytes: int, rounds: int) -> dict[str, list[Cost]]:
    """Run every way `rounds` times."""
    source = make_source(folder, megabytes)
    kickstart, menu = folder / "ks.cfg", folder / "menu"
    kickstart.write_bytes(b"# kickstart\n" * 5000)
    menu.write_text(MENU.replace("quiet", f"inst.ks=hd:LABEL={LABEL}:/ks.cfg"))
    costs: dict[str, list[Cost]] = {}
    with xfs(folder, megabytes) as (place, device):
        shutil.copyfile(source, place / "source.iso")
        ways: dict[str, Callable[[], Cost]] = {
            "xorriso + implantisomd5": lambda: other(folder, source, kickstart, menu),
            "patch, md5 dropped": lambda: patch(
                source, folder / "dropped.iso", kickstart, menu, "drop"
            ),
            "patch, md5 implanted": lambda: patch(
                source, folder / "implanted.iso", kickstart, menu, "implant"
            ),
            "patch, md5 dropped, reflink": lambda: on_xfs(
                device,
                lambda: patch(place / "source.iso", place / "pair.iso", kickstart, menu, "drop"),
            ),
            "iso": lambda: command(source, folder / "pair.iso"),
            "iso --md5 drop": lambda: command(source, folder / "pair.iso", "--md5", "drop"),
            "iso --md5 drop, reflink": lambda: on_xfs(
                device, lambda: command(place / "source.iso", place / "pair.iso", "--md5", "drop")
            ),
        }
        for _ in range(rounds):
            for name, way in ways.items():
                costs.setdefault(name, []).append(way())
                # Room for three copies of the source is enough, so that 10 GB fit on most disks.
                for made in (*folder.glob("*.iso"), *place.glob("pair.*")):
                    if made != source:
                        made.unlink(missing_ok=True)
    return costs


def report(costs: dict[str, list[Cost]]) -> bool:
    """Print medians, ratios and whether the targets are met; return the latter."""
    medians = {
        name: Cost(
            *(
                statistics.median(getattr(cost, field) for cost in each)
                for field in ("cpu", "wall", "written", "memory")
            )
        )
        for name, each in costs.items()
    }
    print(
        f"{'median':29}{'CPU s':>9}{'wall s':>9}{'MB written':>12}{'peak MB':>9}{'CPU ratio':>11}"
    )
    most = medians["xorriso + implantisomd5"]
    for name, cost in medians.items():
        print(
            f"{name:29}{cost.cpu:9.2f}{cost.wall:9.2f}{cost.written / MEGA:12.2f}"
            f"{cost.memory / MEGA:9.0f}{most.cpu / cost.cpu:10.2f}x"
        )
    reflink = medians["patch, md5 dropped, reflink"]
    whole = medians["iso --md5 drop, reflink"]
    targets = {
        "md5 dropped: 4x less CPU": most.cpu / medians["patch, md5 dropped"].cpu >= 4,
        "md5 implanted: 1.3x less CPU": most.cpu / medians["patch, md5 implanted"].cpu >= 1.3,
        "md5 dropped, reflink: under 1 s": reflink.wall < 1,
        "md5 dropped, reflink: under 10 MB written": reflink.written < 10 * MEGA,
        "the whole command on top of it, md5 dropped, reflink: under 10 MB written": whole.written
        < 10 * MEGA,
        "memory: under 100 MB": all(
            cost.memory < 100 * MEGA
            for name, cost in medians.items()
            if name != "xorriso + implantisomd5"
        ),
    }
    for target, met in targets.items():
        print(f"{'met' if met else 'MISSED':8}{target}")
    return all(targets.values())


def main() -> int:
    """Read the command line, measure, report; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--megabytes", type=int, default=1000, help="size of the source")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True)
    try:
        costs = measure(folder, options.megabytes, options.rounds)
    finally:
        shutil.rmtree(folder)
    return 0 if report(costs) else 1


if __name__ == "__main__":
    sys.exit(main())
