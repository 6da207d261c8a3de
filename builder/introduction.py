"""The introduction CA of a pair: what lets two new nodes trust each other, and nothing more.

Made once per pair in the keys folder and reused by every later build, so that a node installed from
an earlier medium is still known. The CA's key never leaves the folder; a leaf and its key per node
go on the medium and are worthless once the pair is formed.
"""

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Nodes do not look at the time (new hardware has no clock); 99991231235959Z means "no end" (RFC
# 5280, 4.1.2.5).
_START = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


class KeysError(Exception):
    """The keys folder can't be used; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, repr=False)
class Leaf:
    """PEM texts of one node: its certificate, its key, and the CA's certificate."""

    certificate: str
    key: str
    ca: str


@dataclass(frozen=True, slots=True, repr=False)
class Introduction:
    """A leaf per node name."""

    leaves: dict[str, Leaf]

    def of(self, node: str) -> Leaf:
        """The leaf of that node."""
        return self.leaves[node]


def load_or_make(folder: Path, pair_id: str, nodes: list[str]) -> Introduction:
    """The pair's introduction from `folder`, made there (0700, keys 0600) where it is missing.

    Raises KeysError when the folder is open to others, belongs to another pair, or is incomplete.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        raise KeysError(f"{folder} can be read by others", f"chmod 700 {folder}")
    if not (folder / "ca.crt").exists():
        _make_ca(folder, pair_id)
    ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    if _common_name(ca) != pair_id:
        raise KeysError(
            f"{folder} holds the keys of pair {_common_name(ca)}, not of {pair_id}",
            "give this pair a folder of its own with --keys",
        )
    leaves = {}
    for node in nodes:
        if not (folder / f"{node}.crt").exists():
            _make_leaf(folder, ca, node)
        certificate = (folder / f"{node}.crt").read_text()
        key = _private(folder / f"{node}.key").decode()
        leaves[node] = Leaf(certificate, key, (folder / "ca.crt").read_text())
    return Introduction(leaves)


def _make_ca(folder: Path, pair_id: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, pair_id)])
    usage = _usage(signs_certificates=True)
    builder = _builder(name, name, key.public_key(), key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
    _write(folder / "ca.key", _pem(key), 0o600)
    _write(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _make_leaf(folder: Path, ca: x509.Certificate, node: str) -> None:
    ca_key = serialization.load_pem_private_key(_private(folder / "ca.key"), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise KeysError(f"{folder / 'ca.key'} is not the key ksbuild made", "restore it")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(name, ca.subject, key.public_key(), ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(folder / f"{node}.key", _pem(key), 0o600)
    _write(folder / f"{node}.crt", certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    issuer_public: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_START)
        .not_valid_after(_END)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False
        )
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _private(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise KeysError(
            f"{path} is missing", f"restore it from a backup, or move {path.parent} away"
        ) from None


def _write(path: Path, content: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
