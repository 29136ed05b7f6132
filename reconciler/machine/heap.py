"""How the C library keeps memory for a process with threads: each gets an arena of its own, and little comes back."""

from __future__ import annotations

import ctypes

ARENAS = 2
"""For all threads: they hold the interpreter's lock whenever they ask for memory, so more would serve nobody."""
_M_ARENA_MAX = -8
"""mallopt(3)."""


def few_arenas() -> bool:
    """Have all threads share a few arenas, from now on; False where the C library has no such setting."""
    call = getattr(ctypes.CDLL(None), "mallopt", None)
    return call is not None and call(_M_ARENA_MAX, ARENAS) == 1
