"""Damaged sources: refused with a reason or patched soundly, never anything else.

A change that nobody notices is one that the patcher need not notice: in file content, in dates. So
the medium is compared with the damaged source as with any other.
"""

import random
import shutil
import struct
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builder.media.errors import MediumError, SourceError
from builder.media.patch.medium import patch_medium
from tests.media.patch.trees import BIG, SMALL, WHEN, sha256

ROUNDS = 400
BLOCK = 2048
# Descriptors, boot catalog, path tables and all folders of the tiny sources lie below.
STRUCTURES = 64 * BLOCK
UNCHECKED = [HealthCheck.function_scoped_fixture]
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)


def assert_contained(raw: bytes, folder: Path, tree: dict[str, bytes]) -> bool:
    """Return whether it was patched; it may be refused, and nothing else."""
    source, out = folder / "hostile.iso", folder / "out" / "medium.iso"
    out.parent.mkdir(exist_ok=True)
    source.write_bytes(raw)
    before = sha256(source)
    refusal: SourceError | MediumError | None = None
    try:
        patch_medium(out, tree, source, when=WHEN)
    except (SourceError, MediumError) as error:
        refusal = error
    assert sha256(source) == before
    assert [path.name for path in out.parent.iterdir()] == ([] if refusal else ["medium.iso"])
    shutil.rmtree(out.parent)
    return refusal is None


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(2))
def test_changed_bytes(tiny: Path, tmp_path: Path, seed: int) -> None:
    """Bytes of the structures changed at random, one to eight at a time."""
    dice = random.Random(seed)  # noqa: S311  repeatable, not secret
    original = tiny.read_bytes()
    outcomes = set()
    # Most of the area is zero; what is not is more interesting.
    used = [at for at in range(STRUCTURES) if original[at]]
    for number in range(ROUNDS // 2):
        raw = bytearray(original)
        for _ in range(dice.choice((1, 1, 2, 8))):
            at = dice.choice(used) if dice.random() < 0.9 else dice.randrange(STRUCTURES)
            raw[at] = dice.choice(INTERESTING) if dice.random() < 0.6 else dice.randrange(256)
        tree = BIG if number % 4 == 0 else SMALL
        outcomes.add(assert_contained(bytes(raw), tmp_path, tree))
    assert outcomes == {True, False}


@pytest.mark.timeout(240)
def test_changed_numbers(tiny: Path, tmp_path: Path) -> None:
    """Numbers changed in both byte orders alike, so that nothing but their value is wrong."""
    dice = random.Random(5)  # noqa: S311
    original = tiny.read_bytes()
    places = [
        at
        for at in range(16 * BLOCK, STRUCTURES)
        if any(original[at : at + 4]) and original[at : at + 4] == original[at + 4 : at + 8][::-1]
    ]
    assert len(places) > 100
    outcomes = set()
    for number in range(ROUNDS // 2):
        raw = bytearray(original)
        for at in dice.sample(places, dice.choice((1, 1, 2, 4))):
            old = struct.unpack_from("<I", raw, at)[0]
            near = (old + 1, old - 1, old * 2, old ^ 0x800, 0, 1, 16, 19, 0x7FFFFFFF, 0xFFFFFFFF)
            raw[at : at + 8] = both(dice.choice(near) & 0xFFFFFFFF)
        outcomes.add(assert_contained(bytes(raw), tmp_path, BIG if number % 4 == 0 else SMALL))
    assert outcomes == {True, False}


@pytest.mark.timeout(240)
def test_changed_gpt(tiny: Path, tmp_path: Path) -> None:
    """Both copies of the GPT changed alike, with right checksums."""
    dice = random.Random(6)  # noqa: S311
    original = tiny.read_bytes()
    outcomes = set()
    for _ in range(ROUNDS // 4):
        raw = bytearray(original)
        count = struct.unpack_from("<I", raw, 512 + 80)[0] * 128
        entry = dice.choice((0, 128, 256)) + dice.choice((0, 32, 40))
        value = dice.choice((0, 1, 64, 1 << 31, 1 << 63, (1 << 64) - 1))
        headers = (512, len(raw) - 512)
        in_header = dice.random() < 0.5
        for header in headers:
            entries = struct.unpack_from("<Q", raw, header + 72)[0] * 512
            if in_header:
                at = header + dice.choice((32, 40, 48, 72))
                struct.pack_into("<Q", raw, at, value)
            else:
                struct.pack_into("<Q", raw, entries + entry, value)
            struct.pack_into("<I", raw, header + 88, crc32(raw[entries : entries + count]))
            struct.pack_into("<I", raw, header + 16, 0)
            struct.pack_into("<I", raw, header + 16, crc32(raw[header : header + 92]))
        outcomes.add(assert_contained(bytes(raw), tmp_path, BIG))
    assert outcomes == {True, False}


@pytest.mark.timeout(120)
def test_cut_short(tiny: Path, tmp_path: Path) -> None:
    original = tiny.read_bytes()
    lengths = {0, 1, 511, 2047, 32768, 34816, len(original) - 1, len(original) - 2048}
    lengths |= set(range(0, len(original), len(original) // 40 // 7 * 7))
    for length in sorted(lengths):
        assert not assert_contained(original[:length], tmp_path, SMALL)


def test_blocks_exchanged(tiny: Path, tmp_path: Path) -> None:
    """Whole blocks of the structures repeated elsewhere, as a bad copy has them."""
    original = tiny.read_bytes()
    dice = random.Random(3)  # noqa: S311
    for _ in range(60):
        raw = bytearray(original)
        source, target = dice.randrange(64) * BLOCK, dice.randrange(64) * BLOCK
        raw[target : target + BLOCK] = original[source : source + BLOCK]
        assert_contained(bytes(raw), tmp_path, SMALL)


def both(number: int) -> bytes:
    return struct.pack("<I", number) + struct.pack(">I", number)


def folder_record(raw: bytearray, name: bytes) -> int:
    """Return where a folder's record in the primary root stands."""
    at: int = struct.unpack_from("<I", raw, 16 * BLOCK + 158)[0] * BLOCK
    while raw[at]:
        if raw[at + 33 : at + 33 + raw[at + 32]].upper() == name and raw[at + 25] & 2:
            return at
        at += raw[at]
    raise AssertionError(name)


def test_folder_inside_itself(tiny: Path, tmp_path: Path) -> None:
    raw = bytearray(tiny.read_bytes())
    root = struct.unpack_from("<I", raw, 16 * BLOCK + 158)[0]
    record = folder_record(raw, b"EFI")
    raw[record + 2 : record + 10] = both(root)
    assert not assert_contained(bytes(raw), tmp_path, SMALL)


def test_folders_that_name_each_other(tiny: Path, tmp_path: Path) -> None:
    raw = bytearray(tiny.read_bytes())
    first, second = (folder_record(raw, name) for name in (b"EFI", b"IMAGES"))
    raw[first + 2 : first + 10] = raw[second + 2 : second + 10]
    assert not assert_contained(bytes(raw), tmp_path, SMALL)


@pytest.mark.parametrize("size", [0, 1, 2047, 2049, 1 << 24 | 2048, 0xFFFFF800])
def test_folder_of_impossible_size(tiny: Path, tmp_path: Path, size: int) -> None:
    raw = bytearray(tiny.read_bytes())
    record = folder_record(raw, b"EFI")
    raw[record + 10 : record + 18] = both(size)
    assert not assert_contained(bytes(raw), tmp_path, SMALL)


@pytest.mark.parametrize("length", [1, 32, 33, 34, 255])
def test_record_of_impossible_length(tiny: Path, tmp_path: Path, length: int) -> None:
    raw = bytearray(tiny.read_bytes())
    raw[folder_record(raw, b"EFI")] = length
    assert_contained(bytes(raw), tmp_path, SMALL)


def test_rock_ridge_that_continues_for_ever(tiny: Path, tmp_path: Path) -> None:
    """A CE entry that points to a block which holds that same entry."""
    raw = bytearray(tiny.read_bytes())
    root = struct.unpack_from("<I", raw, 16 * BLOCK + 158)[0] * BLOCK
    at = raw.index(b"CE\x1c\x01", root)
    block = struct.unpack_from("<I", raw, at + 4)[0]
    entry = b"CE\x1c\x01" + both(block) + both(0) + both(28)
    raw[block * BLOCK : block * BLOCK + 28] = entry
    assert not assert_contained(bytes(raw), tmp_path, SMALL)


@settings(max_examples=60, suppress_health_check=UNCHECKED)
@given(st.data())
def test_damaged_fat(tiny: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Bytes of the FAT's boot sector, table and folders changed."""
    raw = bytearray(tiny.read_bytes())
    fat = raw.index(b"FAT12   ") - 54
    places = st.one_of(st.integers(0, 64), st.integers(510, 512 * 24), st.integers(0, 64 * 1024))
    changes = data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6))
    for at, value in changes:
        raw[fat + at] = value
    assert_contained(bytes(raw), tmp_path, SMALL)


@settings(max_examples=40, suppress_health_check=UNCHECKED)
@given(st.binary(max_size=4096), st.integers(0, 20 * BLOCK))
def test_noise(tmp_path: Path, noise: bytes, zeros: int) -> None:
    assert not assert_contained(bytes(zeros) + noise, tmp_path, SMALL)
