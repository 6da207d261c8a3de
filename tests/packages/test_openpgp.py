"""Fingerprints as real gpg computes them."""

import base64
import re
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.packages.defaults import DISTRIBUTIONS, profile_line
from builder.packages.errors import RepositoryError
from builder.packages.openpgp import key_fingerprints
from tests.packages.rpms import run


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # gpg's agent makes a socket in there, whose path may be 107 bytes long.
    with tempfile.TemporaryDirectory(prefix="gpg") as folder:
        yield Path(folder)
        run("gpgconf", "--homedir", folder, "--kill", "all")


def made(home: Path, kind: str, *more: str) -> bytes:
    user = f"{kind} {len(more)} <key@example.org>"
    words = ["gpg", "--homedir", str(home), "--batch", "--passphrase", ""]
    run(*words, "--quick-gen-key", user, kind, "sign", "never")
    listed = run(*words, "--with-colons", "--list-keys", f"={user}")
    fingerprint = re.findall(r"^fpr:+(\w+):", listed, re.MULTILINE)[0]
    for usage in more:
        run(*words, "--quick-add-key", fingerprint, kind, usage)
    return run(*words, "--armor", "--export", f"={user}").encode()


def by_gpg(home: Path, armored: bytes) -> list[str]:
    (home / "key.asc").write_bytes(armored)
    said = run("gpg", "--homedir", home, "--show-keys", "--with-colons", home / "key.asc")
    return re.findall(r"^pub:.*\nfpr:+(\w+):", said, re.MULTILINE)


@pytest.mark.parametrize("kind", ["rsa2048", "ed25519", "nistp384", "dsa2048"])
def test_like_gpg(home: Path, kind: str) -> None:
    armored = made(home, kind)
    assert list(key_fingerprints(armored)) == by_gpg(home, armored)
    windows = armored.replace(b"\n", b"\r\n")
    assert key_fingerprints(b"A comment\n" + windows) == key_fingerprints(armored)


def test_subkeys_do_not_count_and_several_keys_do(home: Path) -> None:
    one, two = made(home, "rsa3072", "sign", "sign"), made(home, "ed25519", "sign")
    assert list(key_fingerprints(one)) == by_gpg(home, one)
    assert list(key_fingerprints(one + two)) == by_gpg(home, one + two)


def test_every_length_of_a_packet(home: Path) -> None:
    armored = made(home, "rsa2048", "sign", "sign", "sign", "sign")
    data = base64.b64decode(b"".join(armored.split(b"\n\n")[1].split(b"\n=")[0].split()))
    assert data[0] == 0x99
    size = int.from_bytes(data[1:3])
    body = data[3 : 3 + size]
    for head in (
        bytes([0x9A]) + size.to_bytes(4),
        bytes([0xC6, (size - 192 >> 8) + 192, size - 192 & 0xFF]),
        bytes([0xC6, 0xFF]) + size.to_bytes(4),
    ):
        assert key_fingerprints(_armor(head + body)) == key_fingerprints(armored)
    for head in (bytes([0x9B]), bytes([0xC6, 0xE1]), bytes([0xC6, 0xFF]) + bytes([255] * 4)):
        with pytest.raises(RepositoryError, match="cannot be read"):
            key_fingerprints(_armor(head + body))


def _armor(data: bytes) -> bytes:
    text = base64.encodebytes(data)
    return b"-----BEGIN %s-----\n\n%s-----END %s-----\n" % (_KIND, text, _KIND)


_KIND = b"PGP PUBLIC KEY BLOCK"


def test_damaged(home: Path) -> None:
    armored = made(home, "ed25519", "sign", "sign", "sign")
    place = armored.index(b"\n\n") + 12
    flipped = armored[:place] + bytes([armored[place] ^ 1]) + armored[place + 1 :]
    for broken in (
        b"",
        b"no key",
        armored[:200],
        flipped,
        re.sub(rb"\n=....\n", b"\n=AAAA\n", armored),
        armored.replace(b"PUBLIC KEY", b"MESSAGE"),
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n",
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxgED\n-----END PGP PUBLIC KEY BLOCK-----\n",
    ):
        with pytest.raises(RepositoryError) as caught:
            key_fingerprints(broken)
        assert caught.value.hint


def test_version_6() -> None:
    # The sample certificate of RFC 9580, A.3, and the fingerprint it states.
    armored = b"""-----BEGIN PGP PUBLIC KEY BLOCK-----

xioGY4d/4xsAAAAg+U2nu0jWCmHlZ3BqZYfQMxmZu52JGggkLq2EVD34laPCsQYf
GwoAAABCBYJjh3/jAwsJBwUVCg4IDAIWAAKbAwIeCSIhBssYbE8GCaaX5NUt+mxy
KwwfHifBilZwj2Ul7Ce62azJBScJAgcCAAAAAK0oIBA+LX0ifsDm185Ecds2v8lw
gyU2kCcUmKfvBXbAf6rhRYWzuQOwEn7E/aLwIwRaLsdry0+VcallHhSu4RN6HWaE
QsiPlR4zxP/TP7mhfVEe7XWPxtnMUMtf15OyA51YBM4qBmOHf+MZAAAAIIaTJINn
+eUBXbki+PSAld2nhJh/LVmFsS+60WyvXkQ1wpsGGBsKAAAALAWCY4d/4wKbDCIh
BssYbE8GCaaX5NUt+mxyKwwfHifBilZwj2Ul7Ce62azJAAAAAAQBIKbpGG2dWTX8
j+VjFM21J0hqWlEg+bdiojWnKfA5AQpWUWtnNwDEM0g12vYxoWM8Y81W+bHBw805
I8kWVkXU6vFOi+HWvv/ira7ofJu16NnoUkhclkUrk0mXubZvyl4GBg==
-----END PGP PUBLIC KEY BLOCK-----
"""
    expected = "CB186C4F0609A697E4D52DFA6C722B0C1F1E27C18A56708F6525EC27BAD9ACC9"
    assert key_fingerprints(armored) == (expected,)


def test_defaults_are_complete() -> None:
    for distribution in DISTRIBUTIONS.values():
        names = [repository.name for repository in distribution.repositories]
        assert names == ["BaseOS", "AppStream", "HighAvailability", "ResilientStorage", "ELRepo"]
        for found in distribution.repositories:
            assert re.fullmatch(r"https://[a-z.]+/\S+/", found.url)
            for key in found.keys:
                assert key.url.startswith("https://")
                assert all(re.fullmatch(r"[0-9A-F]{40}", f) for f in key.fingerprints)


def test_the_line_for_the_profile() -> None:
    line = profile_line("Rocky Linux 9.6", "HighAvailability")
    address = "https://dl.rockylinux.org/pub/rocky/9/HighAvailability/x86_64/os/"
    assert tomllib.loads(f"r = {line}")["r"] == {"name": "HighAvailability", "url": address}
    red_hat = "Red Hat Enterprise Linux 9.4"
    assert "elrepo.org" in profile_line(red_hat, "ELRepo")
    # Its own repositories ask for a client certificate, which the registration brings.
    line = profile_line(red_hat, "HighAvailability")
    assert tomllib.loads(f"r = {line}")["r"] == {"name": "rhel-9-for-x86_64-highavailability-rpms"}
    assert profile_line("Fedora 42", "ELRepo") == ""
    assert profile_line("Rocky Linux 9.6", "") == ""
