"""%pre, run for real on images: a used disk is wiped with consent to this very content only."""

import re
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.plan import Plan
from firstboot.node import partition_uuid
from tests.builder.server import GIB, NAMES, SENTINEL, Server, extents, put, refused, sfdisk


def used_disk(server: Server, **told: str) -> Path:
    """Somebody's partitions with file systems."""
    image = server.add_disk("sda", 950, told=told)
    table = "label: gpt\nsize=1G, name=root\nsize=2G\n"
    subprocess.run(["sfdisk", "-q", image], input=table, text=True, check=True)
    argv: list[str | Path] = ["mkfs.ext4", "-q", "-E", "offset=1048576", image, "1000M"]
    subprocess.run(argv, check=True, capture_output=True)
    put(image, 700 * GIB, SENTINEL)
    put(image, 950 * GIB - (3 << 19), SENTINEL)
    return image


def consent_of(said: str) -> str:
    """The line that the refusal asks for."""
    (line,) = re.findall(r'wipe = \["(.*?)"\]', said)
    return str(line)


def consenting(change: Callable[..., Plan], line: str) -> str:
    return change(("[storage]\n", f'[storage]\nwipe = ["{line}"]\n')).either


def test_consent_names_one_content_and_is_used_up(
    server: Server, example: Plan, changed: Callable[..., Plan]
) -> None:
    image = used_disk(server, SERIAL="PDNLH0 BRH/1")
    server.add_disk("sdb", 400)
    put(server.root / "dev/sdb", 1 << 20, SENTINEL)
    line = consent_of(refused(server.run(example.either), "neither blank nor this node's"))
    assert re.fullmatch(r"PDNLH0-BRH-1/[0-9a-f]{16}", line)
    assert line == consent_of(server.run(example.either).said), "the same again"
    text = consenting(changed, line)
    outcome = server.run(text)
    assert outcome.success, outcome.said
    assert outcome.written == ("sda",)
    table = server.table("sda")
    assert list(table) == [*NAMES[:5], "ks-wiped"]
    data = table["ks-wiped"]
    with image.open("rb") as file:
        for place in (data.start * 512, (data.start + data.size) * 512 - (1 << 20)):
            file.seek(place)
            assert not any(file.read(1 << 20))
    sfdisk(image, "--part-label", "5", "ks-root")
    before = extents(image)
    refused(server.run(text), "carries justinian of this pair already")
    assert extents(image) == before


def test_consent_to_another_content_is_none(
    server: Server, example: Plan, changed: Callable[..., Plan]
) -> None:
    image = used_disk(server)
    line = consent_of(server.run(example.either).said)
    assert line.startswith("-/"), "a disk that tells no serial number"
    sfdisk(image, "--disk-id", "7D6CE4C6-2B3D-4B8B-9B44-5A4A1A5C7A10")  # another table
    said = refused(server.run(consenting(changed, line)), "neither blank nor this node's")
    assert consent_of(said) != line


def test_consent_to_content_without_a_name(server: Server, example: Plan) -> None:
    image = server.add_disk("sda", 950)
    put(image, 40 * GIB, SENTINEL)
    put(image, 36 * GIB + (5 << 20), SENTINEL)
    line = consent_of(server.run(example.either).said)
    put(image, 5, b"y")
    assert consent_of(server.run(example.either).said) != line


def test_consent_to_a_disk_whose_table_lost_its_head(server: Server, example: Plan) -> None:
    """Two disks of one size without a protective MBR are not the same disk."""
    lines = set()
    for disk_id in ("7D6CE4C6-2B3D-4B8B-9B44-5A4A1A5C7A10", "8D6CE4C6-2B3D-4B8B-9B44-5A4A1A5C7A10"):
        image = server.add_disk("sda", 950)
        table = f"label: gpt\nlabel-id: {disk_id}\nsize=1G\n"
        subprocess.run(["sfdisk", "-q", image], input=table, text=True, check=True)
        put(image, 0, bytes(512))
        lines.add(consent_of(server.run(example.either).said))
        image.unlink()
    assert len(lines) == 2


def test_what_nothing_names_cannot_be_consented_to(server: Server, example: Plan) -> None:
    image = server.add_disk("sda", 950)
    for gib in range(40, 900):  # dirt that 32 random looks find, beside every fixed sample
        put(image, gib * GIB + (300 << 20), SENTINEL)
    said = server.run(example.either).said
    if "is blank" not in said:
        assert "wipe = " not in said
        assert "nothing names what is on it" in said


@pytest.mark.parametrize("node", ["justinian", "julius"])
@pytest.mark.parametrize("place", ["head", "tail"])
def test_no_consent_where_a_copy_of_the_table_names_this_pairs_data(
    server: Server, example: Plan, node: str, place: str
) -> None:
    image = server.add_disk("sda", 950)
    guid = uuid.UUID(partition_uuid(example.pair.id, node, "data")).bytes_le
    put(image, 2000 if place == "head" else 950 * GIB - 9000, guid)
    put(image, 40 * GIB, SENTINEL)
    said = refused(server.run(example.either), "carries the file system of pair 00014")
    assert "wipe = " not in said


def test_no_consent_where_the_data_starts_elsewhere_now(server: Server, example: Plan) -> None:
    """Another strip, another start: the lock table is looked for behind the system at large."""
    image = server.add_disk("sda", 950)
    put(image, 36 * GIB + (101 << 20) + 65536 + 96, b"00014:FS0")
    put(image, 5, b"x")
    said = refused(server.run(example.either), "carries the file system of pair 00014")
    assert "wipe = " not in said


def test_no_consent_to_this_pairs_file_system(server: Server, example: Plan) -> None:
    """Its table may be gone, or another pair id's: the lock table's name is enough."""
    image = server.add_disk("sda", 950)
    subprocess.run(
        ["sfdisk", "-q", image], input="label: gpt\nstart=80G, size=2G\n", text=True, check=True
    )
    loose = server.root / "gfs2"
    with loose.open("xb") as file:
        file.truncate(2 * GIB)
    argv: list[str | Path] = [
        "mkfs.gfs2",
        "-qO",
        "-p",
        "lock_dlm",
        "-t",
        "00014:FS0",
        "-j",
        "2",
        loose,
    ]
    subprocess.run(argv, check=True, capture_output=True)
    head = loose.read_bytes()[: 1 << 20]
    put(image, 75507712 * 512, head)
    said = refused(server.run(example.either), "carries the file system of pair 00014")
    assert "wipe = " not in said
