"""The introduction CA of a pair: what lets two new nodes trust each other, and nothing more.

Made once per pair in the keys folder and reused by every later build, so that a node installed from
an earlier medium is still known. The CA's key never leaves the folder; a leaf and its key per node
go on the medium and are worthless once the pair is formed.
"""

import datetime
import os
import re
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from builder.errors import KeysError
from builder.plan.trust import Introduction, Leaf

# Nodes do not look at the time (new hardware has no clock); 99991231235959Z means "no end" (RFC
# 5280, 4.1.2.5).
_START = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
_END = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


def load_or_make(folder: Path, pair_id: str, nodes: list[str]) -> Introduction:
    """The pair's introduction from `folder`, made there (0700, keys 0600) where it is missing.

    A certificate that is missing beside its key is made anew from that key: a cut while it was
    written costs nothing, and nodes that know the key go on knowing it. Raises KeysError when the
    folder is open to others, belongs to another pair, or holds what cannot be used.
    """
    _closed(folder)
    ca = _ca(folder, pair_id)
    link_key = _secret(folder / "link.key", "link")
    leaves = {}
    for node in nodes:
        certificate = _leaf(folder, ca, node)
        key = (folder / f"{node}.key").read_text()
        leaves[node] = Leaf(_text(certificate), key, _text(ca), link_key)
    return Introduction(leaves)


def _ca(folder: Path, pair_id: str) -> x509.Certificate:
    certificate = _certificate(folder / "ca.crt")
    if certificate is None:
        certificate = _sign_ca(_key(folder / "ca.key"), pair_id)
        _write(folder / "ca.crt", _text(certificate).encode(), 0o644)
    if (found := _common_name(certificate)) != pair_id:
        raise KeysError(
            f"{folder} holds the keys of pair {found}, not of {pair_id}",
            "give this pair a folder of its own with --keys",
        )
    return certificate


def serve_key(folder: Path) -> str:
    """What the tokens of `ksbuild serve` come from, made in `folder` where it is missing.

    Raises KeysError as `load_or_make` does.
    """
    _closed(folder)
    return _secret(folder / "serve_tokens.key", "serve")  # no host name can hold a _


def _closed(folder: Path) -> None:
    """The keys folder, made where it is missing, and for nobody else to read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        raise KeysError(f"{folder} can be read by others", f"chmod 700 {folder}")


def _secret(path: Path, name: str) -> str:
    """The key at `path`, made there if there is none."""
    try:
        found = path.read_text().strip()
    except FileNotFoundError:
        found = f"ksbuild-{name}-{secrets.token_hex(32)}"
        _write(path, f"{found}\n".encode(), 0o600)
    if not re.fullmatch(rf"ksbuild-{name}-[0-9a-f]{{64}}", found):
        raise KeysError(f"{path} is not a key ksbuild made", _restore(path.parent))
    return found


def _leaf(folder: Path, ca: x509.Certificate, node: str) -> x509.Certificate:
    certificate = _certificate(folder / f"{node}.crt")
    if certificate is None:
        certificate = _sign_leaf(folder, ca, node, _key(folder / f"{node}.key"))
        _write(folder / f"{node}.crt", _text(certificate).encode(), 0o644)
    elif not (folder / f"{node}.key").exists():
        raise KeysError(f"{folder / f'{node}.key'} is missing", _restore(folder))
    key = _key(folder / f"{node}.key")
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        raise KeysError(
            f"{node}.crt in {folder} is not from its ca.crt", _restore(folder)
        ) from None
    if certificate.public_key() != key.public_key():
        raise KeysError(f"{node}.crt and {node}.key in {folder} do not fit", _restore(folder))
    return certificate


def _restore(folder: Path) -> str:
    return f"restore it from a backup, or move {folder} away and build for both nodes anew"


def _certificate(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise KeysError(f"{path} is no certificate", _restore(path.parent)) from None


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key at `path`, made there if there is none."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError:
        made = ec.generate_private_key(ec.SECP256R1())
        _write(path, _pem(made), 0o600)
        return made
    except ValueError:
        raise KeysError(f"{path} is no private key", _restore(path.parent)) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeysError(f"{path} is not a key ksbuild made", _restore(path.parent))
    return key


def _sign_ca(key: ec.EllipticCurvePrivateKey, pair_id: str) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, pair_id)])
    builder = _builder(name, name, key.public_key(), key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    usage = _usage(signs_certificates=True)
    return builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())


def _sign_leaf(
    folder: Path, ca: x509.Certificate, node: str, key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    if not (folder / "ca.key").exists():
        raise KeysError(f"{folder / 'ca.key'} is missing", _restore(folder))
    ca_key = _key(folder / "ca.key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node)])
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        _builder(name, ca.subject, key.public_key(), ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node)]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )


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


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _write(path: Path, content: bytes, mode: int) -> None:
    """A new file that is there whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    new.rename(path)


def fingerprints(folder: Path) -> dict[str, str]:
    """Name -> sha256 of each certificate in `folder`, the CA's first. Raises KeysError."""
    names = sorted((path.stem for path in folder.glob("*.crt")), key=lambda n: (n != "ca", n))
    found = {}
    for name in names:
        certificate = _certificate(folder / f"{name}.crt")
        if certificate is not None:
            found[name] = certificate.fingerprint(hashes.SHA256()).hex()
    return found
