"""Foreign contents against all that could write over them: the steps, drbdmeta and mkfs.gfs2.

The programs are real, the data partition is a loop device. A sentinel lies in the middle of it.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from firstboot import data, drbd
from firstboot.commands import ENVIRONMENT, CommandError, Result, run
from firstboot.engine import Refused
from firstboot.node import Identity
from firstboot.rendezvous.session import Meeting
from firstboot.seed import Content
from firstboot.steps import Context
from firstboot.steps.filesystem import make_file_system
from firstboot.steps.replication import Replication
from tests.firstboot import devices
from tests.firstboot.conftest import Told, an_identity
from tests.firstboot.devices import MIB, SIZE, Prepare, both, gfs2, metadata, raw
from tests.firstboot.foreign import AT, FOREIGN, SENTINEL
from tests.firstboot.test_filesystem import permit
from tests.firstboot.test_render_drbd import VERSIONS, installed

OLD = ("EC9F2A7C1B4D5E60", "0" * 16, "A1" * 8, "0" * 16)  # generations that saw data
PLATFORMS = sorted(VERSIONS)
VERSION = {"el9": "v09", "debian12-lab": "v08"}  # of the metadata
# drbdmeta names few of these, and asks about any whose first sectors or last are not zero.
OURS_ALONE = {"zfs", "vmfs"}  # what stands further in, the agent's own look has to find


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A short one: drbdadm takes no word of a hundred characters for a device."""
    with tempfile.TemporaryDirectory(prefix="ks-") as folder:
        yield Path(folder)


@contextmanager
def holding(
    root: Path, identity: Identity, prepare: Prepare, size: int = SIZE
) -> Iterator[tuple[Context, Path]]:
    """A node whose data partition holds this and the sentinel, and is the same afterwards."""
    with devices.partition(root, identity, size=size) as loop:
        both(prepare, raw(AT, SENTINEL))(loop)
        before = devices.digest(loop)
        yield a_context(root, identity), loop
        assert devices.digest(loop) == before


def a_context(root: Path, identity: Identity) -> Context:
    """Real commands, but for drbdadm: it takes this node's files below `root`."""
    conf = installed(root, identity)
    for path in (root / "etc/drbd.d").iterdir():
        path.write_text(path.read_text().replace("/dev/disk/", f"{root}/dev/disk/"))
    words = {
        **ENVIRONMENT,
        "__DRBD_NODE__": identity.node,
        "DRBD_DRIVER_VERSION_OVERRIDE": VERSIONS[identity.pair.platform],
    }

    def below(argv: Sequence[str], **options: "object") -> Result:
        if argv[0] != "drbdadm":
            return run(argv, **options)  # type: ignore[arg-type]
        env = ["env", *(f"{name}={word}" for name, word in words.items())]
        return run([*env, "drbdadm", "-c", str(conf), *argv[1:]], **options)  # type: ignore[arg-type]

    return Context(identity, root, below, Told(), Meeting(identity, root, "boot"))


def small(platform: str = "el9") -> Identity:
    """With journals that fit on these devices."""
    whole = an_identity(platform=platform)
    return replace(whole, pair=replace(whole.pair, gfs2=replace(whole.pair.gfs2, journal_mib=8)))


@pytest.mark.parametrize("name", FOREIGN)
def test_wipefs_knows_it_and_the_step_stops(tmp_path: Path, name: str) -> None:
    prepare, size, kind = FOREIGN[name]
    with holding(tmp_path, an_identity(platform="debian12-lab"), prepare, size) as (context, loop):
        assert kind in {found.kind for found in data.signatures(context, str(loop))}
        with pytest.raises(Refused, match=kind):
            Replication(context).apply()
        assert data.look(context, attached=False).content is Content.FOREIGN


@pytest.mark.parametrize("name", FOREIGN)
def test_mkfs_is_not_run_on_it(tmp_path: Path, name: str) -> None:
    prepare, size, kind = FOREIGN[name]
    with (
        holding(tmp_path, small(), prepare, size) as (context, loop),
        pytest.raises(Refused, match=kind),
    ):
        make_file_system(context, permit(), loop)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("name", sorted(FOREIGN.keys() - OURS_ALONE))
def test_drbdmeta_itself_leaves_it_alone(tmp_path: Path, name: str, platform: str) -> None:
    """Even if the step had not looked: create-md bears no --force and has nobody to ask."""
    prepare, size, _ = FOREIGN[name]
    with (
        holding(tmp_path, an_identity(platform=platform), prepare, size) as (context, _),
        pytest.raises(CommandError, match=r"not a TTY|exit code 40"),
    ):
        drbd.create_metadata(context.run)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("version", ["v08", "v09"])
def test_old_metadata_is_not_made_anew(tmp_path: Path, version: str, platform: str) -> None:
    """It bears no name: another resource's is kept like one's own."""
    prepare = metadata(version, *OLD)
    with holding(tmp_path, an_identity(platform=platform), prepare) as (context, _):
        with pytest.raises(CommandError, match=r"overwrite the existing|replace the v0"):
            drbd.create_metadata(context.run)
        expected = Content.OURS if VERSION[platform] == version else Content.FOREIGN
        assert data.look(context, attached=False).content is expected


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_file_system_up_to_the_last_block_is_left_alone(tmp_path: Path, platform: str) -> None:
    prepare = gfs2("00014:FS0", SIZE // 4096)
    with holding(tmp_path, an_identity(platform=platform), prepare) as (context, _):
        assert data.look(context, attached=False).content is Content.UNKNOWN
        with pytest.raises(CommandError, match="not a TTY"):
            drbd.create_metadata(context.run)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_metadata_goes_onto_a_blank_partition_once(tmp_path: Path, platform: str) -> None:
    """Nothing before it is touched: what a consented wipe left in the middle is still there."""
    identity = an_identity(platform=platform)
    with devices.partition(tmp_path, identity, name=data.WIPED_NAME) as loop:
        raw(AT, SENTINEL)(loop)
        context = a_context(tmp_path, identity)
        assert data.look(context, attached=False).content is Content.WIPED
        drbd.create_metadata(context.run)
        made = devices.digest(loop)
        head = loop.read_bytes()[: SIZE - 2 * MIB]
        assert head == bytes(AT) + SENTINEL + bytes(len(head) - AT - len(SENTINEL))
        side = data.look(context, attached=False)
        assert side.just_created, side.seen
        with pytest.raises(CommandError, match="not a TTY"):
            drbd.create_metadata(context.run)
        assert devices.digest(loop) == made
