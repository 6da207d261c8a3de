"""By HTTPS an installer gets its kickstart from this server alone, with what its loader brings."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from builder.serve import trust
from tests.serve.process import a_port, serving

MAC = "00:25:B3:22:D9:3C"
HEADERS = (f"X-RHN-Provisioning-MAC-0: eno1 {MAC}", "X-System-Serial-Number: CZC00014A1")
OURS = tuple(word for header in HEADERS for word in ("-H", header))
PUBLIC = Path("/etc/ssl/certs/ca-certificates.crt")
REFUSED, UNVERIFIED = 22, 60  # curl(1), EXIT CODES


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate of one's own making for loopback, and its key."""
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN={name}"
    argv = ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*argv, "-keyout", key, "-out", crt], check=True, capture_output=True)
    return crt, key


def unpacked(archive: bytes, folder: Path) -> Path:
    """The one file in it, as cpio reads it."""
    subprocess.run(["cpio", "-idm", "--quiet"], cwd=folder, input=archive, check=True)
    return folder / trust.BUNDLE


def curl(url: str, bundle: Path, *more: str) -> "subprocess.CompletedProcess[bytes]":
    """As dracut asks: with one file of certificates that it believes."""
    argv = ["curl", "-sS", "--fail", "--cacert", str(bundle), *more, url]
    return subprocess.run(argv, check=False, capture_output=True)


def told_by(kickstart: str, folder: Path, base: str) -> None:
    """Tell that server what %pre would, with the token and the certificate in the kickstart."""
    (token,) = set(re.findall(r"\bjustinian\) token=(\S+) ;;", kickstart))
    inside = r"ksbuild-progress\.crt <<'KSBUILD_PEM'\n(.*?)\nKSBUILD_PEM\n"
    (pem,) = set(re.findall(inside, kickstart, re.DOTALL))
    (folder / "in-kickstart.crt").write_text(f"{pem}\n")
    more = ["-H", f"Authorization: Bearer {token}", "-d", "stage=uplink&event=ok"]
    done = curl(f"{base}/events", folder / "in-kickstart.crt", *more)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "public"), [(("--tree", "http://10.0.0.1/el9"), False), ((), True)]
)
def test_from_the_loaders_answer_to_the_kickstart(
    tmp_path: Path, options: tuple[str, ...], public: bool
) -> None:
    """The public ones as well only where the installer itself comes from another https server."""
    crt, key = certificate(tmp_path, "own")
    stranger, _ = certificate(tmp_path, "stranger")
    base = f"https://127.0.0.1:{a_port(tmp_path)}"
    both = tmp_path / "both.pem"  # as many keep them
    both.write_text(f"# für ksbuild\n{key.read_text()}{crt.read_text()}")
    secure = ("--certificate", str(both), "--key", str(both))
    with serving(tmp_path, *secure, *options) as process:
        assert process.told["url"] == base
        script = curl(f"{base}/boot/{MAC}/ipxe", crt).stdout.decode()
        assert " initrd=initrd.img initrd=trust.cpio " in script
        assert f"\ninitrd --name trust.cpio {base}/trust.cpio\nboot\n" in script
        bundle = unpacked(curl(f"{base}/trust.cpio", crt).stdout, tmp_path)
        assert curl(f"{base}/trust.cpio", crt, "-X", "POST").returncode == REFUSED
        (url,) = re.findall(r"inst\.ks=(\S+)", script)
        got = curl(url, bundle, *OURS)
        assert got.returncode == 0, got.stderr
        assert b"# Kickstart of justinian, pair 00014." in got.stdout
        assert key.read_bytes().strip() not in got.stdout
        told_by(got.stdout.decode(), tmp_path, base)
        seen = curl(f"{process.told['page']}status", crt).stdout
        stages = json.loads(seen)["pairs"][0]["nodes"][0]["stages"]
        assert [each["state"] for each in stages if each["name"] == "uplink"] == ["done"]
        for other in (stranger, PUBLIC):
            assert curl(url, other, *OURS).returncode == UNVERIFIED
    believed = bundle.read_text()
    assert "PRIVATE KEY" not in believed
    assert believed.startswith(crt.read_text())
    assert (believed.count("BEGIN CERTIFICATE") > 50) == public


def test_without_https_nobody_hears_of_it(tmp_path: Path) -> None:
    with serving(tmp_path) as process:
        assert b"trust.cpio" not in process.ask(f"/boot/{MAC}/ipxe").body
        assert process.ask("/trust.cpio").status == 404
