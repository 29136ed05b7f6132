"""The C library's arenas, by what it says of itself in a process of its own."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, threading
from reconciler.machine.heap import few_arenas
assert {how}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
together, blocks = threading.Barrier(8), []
def ask():
    together.wait()
    blocks.append(libc.malloc(3000))
    together.wait()
threads = [threading.Thread(target=ask) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_stats()
"""


def arenas(how: str) -> int:
    argv = [sys.executable, "-c", PROGRAM.format(how=how)]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stderr
    return told.count("Arena ")


def test_threads_share_a_few_arenas() -> None:
    assert arenas("few_arenas()") <= 2
    assert arenas("True") > 2, "each has its own without"
