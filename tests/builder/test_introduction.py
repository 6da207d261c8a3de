"""The introduction CA: made once, kept private, accepted by openssl's strictest reading."""

import subprocess
from pathlib import Path

import pytest

from builder.errors import KeysError
from builder.introduction import load_or_make

PAIR = "2f0c5a8e-6f5b-4c43-9b9e-7d3a3f0a9d14"


def test_made_once_and_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "pair.keys"
    made = load_or_make(folder, PAIR, ["a", "b"])
    again = load_or_make(folder, PAIR, ["a", "b"])
    assert [made.of(n).key for n in "ab"] == [again.of(n).key for n in "ab"]
    assert made.of("a").key != made.of("b").key
    assert made.of("a").link_key == made.of("b").link_key == again.of("a").link_key
    assert "PRIVATE KEY" not in made.of("a").certificate + made.of("a").ca
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {
        "ca.crt": 0o644, "ca.key": 0o600,
        "a.crt": 0o644, "a.key": 0o600,
        "b.crt": 0o644, "b.key": 0o600,
        "link.key": 0o600,
    }  # fmt: skip
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_later_leaf_comes_from_the_same_ca(tmp_path: Path) -> None:
    load_or_make(tmp_path / "k", PAIR, ["a"])
    load_or_make(tmp_path / "k", PAIR, ["a", "c"])
    for leaf in "ac":
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-purpose", "sslserver",
             "-CAfile", tmp_path / "k/ca.crt", tmp_path / f"k/{leaf}.crt"],
            check=True, capture_output=True,
        )  # fmt: skip


def test_keys_never_show_in_a_representation(tmp_path: Path) -> None:
    made = load_or_make(tmp_path / "k", PAIR, ["a"])
    assert "PRIVATE" not in repr(made) + repr(made.of("a"))
    assert made.of("a").link_key not in repr(made.of("a"))


def test_refusals(tmp_path: Path) -> None:
    folder = tmp_path / "k"
    load_or_make(folder, PAIR, ["a"])
    with pytest.raises(KeysError, match=f"pair {PAIR}") as other:
        load_or_make(folder, PAIR.replace("2", "3"), ["a"])
    assert "--keys" in other.value.hint
    (folder / "link.key").write_text("ksbuild-link-short\n")
    with pytest.raises(KeysError, match=r"link\.key is not a key ksbuild made"):
        load_or_make(folder, PAIR, ["a"])
    (folder / "link.key").unlink()
    (folder / "a.key").unlink()
    with pytest.raises(KeysError, match=r"a\.key is missing"):
        load_or_make(folder, PAIR, ["a"])
    (folder / "a.crt").unlink()
    (folder / "ca.key").unlink()
    with pytest.raises(KeysError, match=r"ca\.key is missing"):
        load_or_make(folder, PAIR, ["a"])
    (folder / "ca.crt").write_text("junk")
    with pytest.raises(KeysError, match="is no certificate"):
        load_or_make(folder, PAIR, ["a"])
    folder.chmod(0o755)
    with pytest.raises(KeysError, match="read by others"):
        load_or_make(folder, PAIR, ["a"])


def test_a_cut_while_making_costs_nothing(tmp_path: Path) -> None:
    """Every file but the CA's key may be missing; what is there stays as it is."""
    folder = tmp_path / "k"
    load_or_make(folder, PAIR, ["a"])
    keys = {name: (folder / name).read_bytes() for name in ("ca.key", "a.key")}
    for name in ("a.crt", "ca.crt"):
        (folder / name).unlink()
        made = load_or_make(folder, PAIR, ["a"])
        assert {name: (folder / name).read_bytes() for name in keys} == keys
        subprocess.run(
            ["openssl", "verify", "-x509_strict", "-CAfile", folder / "ca.crt", folder / "a.crt"],
            check=True, capture_output=True,
        )  # fmt: skip
    assert made.of("a").ca == (folder / "ca.crt").read_text()


def test_a_leaf_of_another_ca_is_noticed(tmp_path: Path) -> None:
    load_or_make(tmp_path / "one", PAIR, ["a"])
    load_or_make(tmp_path / "two", PAIR, ["a"])
    for name in ("a.crt", "a.key"):
        (tmp_path / "one" / name).write_bytes((tmp_path / "two" / name).read_bytes())
    with pytest.raises(KeysError, match=r"is not from its ca\.crt"):
        load_or_make(tmp_path / "one", PAIR, ["a"])
    load_or_make(tmp_path / "three", PAIR, ["a"])
    key = (tmp_path / "one/a.key").read_bytes()
    (tmp_path / "three/a.key").write_bytes(key)
    with pytest.raises(KeysError, match="do not fit"):
        load_or_make(tmp_path / "three", PAIR, ["a"])
