"""The pair's own CA, by openssl: its key is made on the first node, and both nodes keep it.

Certificates have no time in them to be wrong: they begin in 2000 and never end (99991231235959Z,
RFC 5280, 4.1.2.5), for a node's clock may be years off when they are made.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firstboot import files
from firstboot.commands import CommandError, Run

MOST_PEM = 8192  # characters; a request or certificate of a P-256 key has under 1000

# Both uses and keyEncipherment: libvirt checks its certificates for them.
_CONFIG = """\
[ca]
default_ca = it
[it]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = names
unique_subject = no
copy_extensions = none
[names]
commonName = supplied
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:{name}
"""
_DATES = ("-startdate", "20000101000000Z", "-enddate", "99991231235959Z")


class NotACertificate(ValueError):
    """What should be a PEM text of that kind is none, or not ours; says what it should be."""


def pem(value: object, what: str) -> str:
    """`value`, if it looks like one PEM block of that kind. Raises NotACertificate."""
    frame = f"-----BEGIN {what}-----\n", f"-----END {what}-----\n"
    if not isinstance(value, str) or len(value) > MOST_PEM or not value.isascii():
        raise NotACertificate(f"no {what.lower()}")
    if not (value.startswith(frame[0]) and value.endswith(frame[1]) and value.count("BEGIN") == 1):
        raise NotACertificate(f"no {what.lower()}")
    return value


def pems(value: object, what: str, number: int) -> list[str]:
    """`value`, if it looks like so many PEM blocks of that kind. Raises NotACertificate."""
    if not isinstance(value, list) or len(value) != number:
        raise NotACertificate(f"no list of {number}, each a {what.lower()}")
    return [pem(one, what) for one in value]


def make_key(run: Run, target: Path) -> None:
    """A new P-256 key, 0600; openssl never opens the file."""
    made = run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    files.make_folder(target.parent)
    files.replace(target, made.stdout.encode(), 0o600)


def request(run: Run, key: Path, name: str) -> str:
    """A signing request for the key in that file, as PEM."""
    config = "[req]\ndistinguished_name = it\n[it]\n"
    subject = f"/CN={name}"
    argv = ["openssl", "req", "-new", "-key", str(key), "-subj", subject, "-config", "/dev/stdin"]
    return pem(run(argv, stdin=config).stdout, "CERTIFICATE REQUEST")


def sign_itself(run: Run, key: Path, name: str, extensions: str = "authority") -> str:
    """The CA's certificate, as PEM; with the extensions "leaf" one that nobody vouches for."""
    asked = request(run, key, name)
    return _sign(run, asked, name, extensions, ["-selfsign", "-keyfile", str(key)])


def sign(run: Run, folder: Path, asked: str, name: str) -> str:
    """A leaf for the node `name` by the CA in `folder`, as PEM; of the request only the key counts.

    Raises CommandError when the request does not prove that its sender has the key.
    """
    by = ["-cert", str(folder / "ca.crt"), "-keyfile", str(folder / "ca.key")]
    return _sign(run, asked, name, "leaf", by)


def check_leaf(run: Run, ca: str, leaf: str, key: Path, name: str) -> None:
    """Whether `leaf` is from `ca`, for `name` and the key in that file. Raises NotACertificate."""
    with _scratch() as folder:
        (folder / "ca.crt").write_text(ca, encoding="ascii")
        (folder / "node.crt").write_text(leaf, encoding="ascii")
        verify = ["openssl", "verify", "-no_check_time", "-verify_hostname", name]
        try:
            run([*verify, "-CAfile", str(folder / "ca.crt"), str(folder / "node.crt")])
        except CommandError:
            raise NotACertificate(f"no leaf of that CA for {name}") from None
    mine = run(["openssl", "pkey", "-in", str(key), "-pubout"]).stdout
    if public_key(run, leaf) != mine:
        raise NotACertificate("a leaf for another key than ours")


def public_key(run: Run, leaf: str) -> str:
    """The public key in a certificate, as PEM."""
    return run(["openssl", "x509", "-in", "/dev/stdin", "-noout", "-pubkey"], stdin=leaf).stdout


def _sign(run: Run, asked: str, name: str, extensions: str, by: list[str]) -> str:
    with _scratch() as folder:
        (folder / "index.txt").touch()
        (folder / "config").write_text(_CONFIG.format(folder=folder, name=name), encoding="ascii")
        argv = ["openssl", "ca", "-batch", "-notext", "-config", str(folder / "config")]
        more = ["-extensions", extensions, "-subj", f"/CN={name}", "-in", "/dev/stdin", *_DATES]
        return pem(run([*argv, *by, *more], stdin=asked).stdout, "CERTIFICATE")


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for openssl's own book-keeping; nothing secret is ever in it."""
    with tempfile.TemporaryDirectory(prefix="ksbuild-") as folder:
        yield Path(folder)
