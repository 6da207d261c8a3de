"""linux.uml is handed one interrupt at a time; what it would do with two, one_event.c says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.uml import kernel

PROGRAM = """
import json, os, select
ends = [os.pipe() for _ in range(3)]
waiting = select.epoll()
for reading, writing in ends:
    waiting.register(reading, select.EPOLLIN | select.EPOLLET)
    os.write(writing, b"x")
seen = [[handle for handle, _ in waiting.poll(0)] for _ in range(4)]
print(json.dumps([[reading for reading, _ in ends], seen]))
"""


@pytest.mark.parametrize("preloaded", [True, False])
def test_each_event_comes_alone_and_once(preloaded: bool) -> None:
    words = kernel.environment() if preloaded else ()
    argv = ["env", *words, sys.executable, "-c", PROGRAM]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    handles, seen = json.loads(done.stdout)
    if preloaded:
        assert sorted(map(tuple, seen)) == [(), *((handle,) for handle in handles)]
        assert seen[-1] == []
    else:
        assert sorted(seen[0]) == handles, "as User-mode Linux would have them"
