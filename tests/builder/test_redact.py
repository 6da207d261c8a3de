"""What is shown holds no secret, and still tells one secret from another."""

import pytest

from builder.plan.redact import redact
from builder.plan.tokens import progress

KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----"
HASH = "$6$rounds=5000$saltsalt$" + "x" * 86


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"a\n{KEY}\nb", "MIGHAgEA"),
        (KEY.replace("PRIVATE", "EC PRIVATE"), "MIGHAgEA"),
        (f"rootpw --iscrypted '{HASH}'", "xxxxxx"),
        ("rhsm --organization=42 --activation-key=s3cret --proxy=x", "s3cret"),
        ("rhsm --activation-key='s3 cr3t'", "cr3t"),
        ("ksbuild-link-" + "5e" * 32, "5e5e5e"),
        ('"token": "' + progress("key", "julius") + '"', progress("key", "julius")),
        ("ksbuild-serve-" + "5e" * 32, "5e5e5e"),
    ],
)
def test_gone(text: str, secret: str) -> None:
    assert secret in text
    shown = redact(text)
    assert secret not in shown
    assert "(secret " in shown


def test_the_rest_stays_and_equal_secrets_stay_equal() -> None:
    shown = redact(f"one {HASH} two {HASH} three {HASH[:-1]}y four --organization=42")
    words = shown.split()
    assert words[0] == "one"
    assert words[1:3] == words[4:6] != words[7:9]
    assert shown.endswith("four --organization=42")
