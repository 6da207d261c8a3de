"""Which shared libraries a program names, read from its ELF headers (elf(5))."""

import struct

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5


def needed(image: bytes) -> list[str]:
    """Return the DT_NEEDED names of a 64-bit little-endian ELF file, its loader's path first.

    Anything else, a script for example, needs nothing.
    """
    if image[:6] != b"\x7fELF\x02\x01":
        return []
    (offset,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    segments = [
        struct.unpack_from("<IIQQQQ", image, offset + number * size) for number in range(count)
    ]
    names = [
        image[start : start + length - 1].decode()
        for kind, _, start, _, _, length in segments
        if kind == _PT_INTERP
    ]
    dynamic = [
        tag
        for kind, _, start, _, _, length in segments
        if kind == _PT_DYNAMIC
        for tag in struct.iter_unpack("<QQ", image[start : start + length // 16 * 16])
    ]
    strings = [_file_offset(segments, value) for tag, value in dynamic if tag == _DT_STRTAB]
    for tag, value in dynamic:
        if tag == _DT_NEEDED:
            start = strings[0] + value
            names.append(image[start : image.index(b"\0", start)].decode())
    return names


def _file_offset(segments: list[tuple[int, ...]], address: int) -> int:
    for kind, _, start, virtual, _, length in segments:
        if kind == _PT_LOAD and virtual <= address < virtual + length:
            return start + address - virtual
    raise ValueError(f"address {address:#x} is in no loaded segment")
