"""The one door for programs, with real programs."""

import logging

import pytest

from firstboot.commands import CommandError, run


def test_what_a_program_says() -> None:
    result = run(["sh", "-c", "cat; echo problem >&2; exit 3"], stdin="given", ok=(3,))
    assert (result.stdout, result.stderr, result.returncode) == ("given", "problem\n", 3)


def test_failing_is_an_error_with_the_last_lines() -> None:
    with pytest.raises(CommandError) as caught:
        run(["sh", "-c", "seq 9; echo at last >&2; exit 1"])
    assert str(caught.value).endswith("exited 1: at last")


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [(["no-such-program"], 127, "not installed"), (["sleep", "9"], 124, "no answer within 0.1 s")],
)
def test_missing_and_hanging(argv: list[str], status: int, says: str) -> None:
    with pytest.raises(CommandError, match=says) as caught:
        run(argv, timeout_s=0.1)
    assert caught.value.result.returncode == status


def test_the_environment_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_OF_SOMEBODY", "1")
    names = {line.split("=")[0] for line in run(["env"]).stdout.splitlines()}
    assert names <= {"PATH", "LANG", "HOME", "PWD", "_", "SHLVL"}


def test_standard_input_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "firstboot.commands"):
        run(["cat"], stdin="hunter2")
    assert "+ cat" in caplog.text
    assert "hunter2" not in caplog.text
