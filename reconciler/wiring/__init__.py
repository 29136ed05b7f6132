"""Settings into concrete parts. The only package that names adapters.

`adapters` makes them by their names in the settings, `opening` opens the parts that commands need alone, `system` makes
all parts of one process and the daemon out of them, `listening` its HTTP listener, and `notifying` who tells people.
"""

from __future__ import annotations

from reconciler.wiring.adapters import makers, open_source
from reconciler.wiring.listening import check_listener, open_listener
from reconciler.wiring.opening import let_go, open_branches, open_notary, open_repository, open_store, silent
from reconciler.wiring.system import System, build

__all__ = [
    "System",
    "build",
    "check_listener",
    "let_go",
    "makers",
    "open_branches",
    "open_listener",
    "open_notary",
    "open_repository",
    "open_source",
    "open_store",
    "silent",
]
