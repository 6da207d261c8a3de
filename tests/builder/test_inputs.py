"""Files beside the profile: pinned keys and the registration, and every way they may be wrong."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import InputError
from builder.inputs import package_keys, registration
from builder.profile.load import parse
from builder.profile.model import Profile

EXAMPLE = (Path(__file__).parents[2] / "profiles/example.toml").read_text()


@pytest.fixture(scope="module")
def key() -> Iterator[tuple[str, str]]:
    """A real OpenPGP key: its fingerprint and its armoured text."""
    with tempfile.TemporaryDirectory(prefix="gpg") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
        subprocess.run(
            [*gpg, "--passphrase", "", "--quick-gen-key", "packages@example", "ed25519", "sign"],
            check=True, capture_output=True,
        )  # fmt: skip
        shown = subprocess.run(
            [*gpg, "--list-keys", "--with-colons"], check=True, capture_output=True, text=True
        ).stdout
        fingerprint = next(line.split(":")[9] for line in shown.splitlines() if "fpr" in line)
        text = subprocess.run(
            [*gpg, "--armor", "--export"], check=True, capture_output=True, text=True
        ).stdout
        yield fingerprint, text
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


def profile(fingerprint: str) -> Profile:
    pinned = f'[install]\ngpg_key = "key.asc"\ngpg_fingerprint = "{fingerprint}"\n'
    return parse(EXAMPLE.replace("[install]\n", pinned).encode(), "p").profile


def test_a_pinned_key(tmp_path: Path, key: tuple[str, str]) -> None:
    (tmp_path / "key.asc").write_text(key[1])
    (found,) = package_keys(tmp_path, profile(key[0]))
    assert (found.name, found.fingerprints, found.text) == ("distribution", (key[0],), key[1])


def test_another_key_is_refused(tmp_path: Path, key: tuple[str, str]) -> None:
    (tmp_path / "key.asc").write_text(key[1])
    with pytest.raises(InputError, match=f"holds the key {key[0]}"):
        package_keys(tmp_path, profile("0" * 40))


@pytest.mark.parametrize("content", [None, "", "no key", "\xff"])
def test_no_key_at_all(tmp_path: Path, key: tuple[str, str], content: "str | None") -> None:
    if content is not None:
        (tmp_path / "key.asc").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        package_keys(tmp_path, profile(key[0]))
    assert caught.value.hint


def test_a_known_key_that_is_not_there_yet(tmp_path: Path) -> None:
    text = EXAMPLE.replace(
        "[install]\n",
        f'[install]\ngpg_key = "RPM-GPG-KEY-AlmaLinux-9"\ngpg_fingerprint = "{"0" * 40}"\n',
    )
    with pytest.raises(InputError) as caught:
        package_keys(tmp_path, parse(text.encode(), "p").profile)
    place = "https://repo.almalinux.org/almalinux/RPM-GPG-KEY-AlmaLinux-9"
    assert caught.value.hint == f"there: curl -f {place} > RPM-GPG-KEY-AlmaLinux-9"


def registered() -> Profile:
    text = EXAMPLE.replace("[install]", '[install]\nregistration_file = "rhsm"')
    return parse(text.encode(), "p").profile


def test_registration(tmp_path: Path) -> None:
    path = tmp_path / "rhsm"
    path.write_text('organization = "42"\nactivation_key = "s3cret"\n')
    path.chmod(0o600)
    found = registration(tmp_path, registered())
    assert found
    assert (found.organization, found.activation_key) == ("42", "s3cret")
    assert "s3cret" not in repr(found)
    path.chmod(0o644)
    with pytest.raises(InputError, match="read by others"):
        registration(tmp_path, registered())


@pytest.mark.parametrize("content", ["", "s3cret", 'organization = "s3cret"', "organization = 1"])
def test_a_registration_that_says_something_else(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rhsm"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(InputError) as caught:
        registration(tmp_path, registered())
    assert "s3cret" not in str(caught.value) + caught.value.hint


def test_none_named_none_read(tmp_path: Path) -> None:
    plain = parse(EXAMPLE.encode(), "p").profile
    assert registration(tmp_path, plain) is None
    assert package_keys(tmp_path, plain) == ()
