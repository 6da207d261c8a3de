"""A machine's clock is off by as much as a test says."""

import subprocess
import sys
import time

from tests.uml import kernel


def test_the_clock_is_off_and_the_monotonic_one_is_not() -> None:
    program = "import time; print(time.clock_gettime(0), time.clock_gettime(1))"
    argv = ["env", *kernel.environment(clock_offset_s=-86400), sys.executable, "-c", program]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    wall, monotonic = map(float, said.split())
    assert abs(wall + 86400 - time.time()) < 60
    assert abs(monotonic - time.monotonic()) < 60
