"""The audit chain: what was done, one line per entry, each bound to the one before by its hash.

`entry` makes and reads lines; `chain` judges a whole export. Both need nothing but the bytes. Where the chain is
kept, and that nobody appends to it twice at once, is the store's part.
"""

from __future__ import annotations

from reconciler.core.audit.chain import Problem, Verification, lines, trailer, verify
from reconciler.core.audit.entry import (
    MAX_LINE,
    START,
    Entry,
    Fact,
    GateRecord,
    Head,
    Kind,
    attempted,
    line,
    operated,
    parse,
    seal,
)
from reconciler.core.strictjson import Malformed

__all__ = [
    "MAX_LINE",
    "START",
    "Entry",
    "Fact",
    "GateRecord",
    "Head",
    "Kind",
    "Malformed",
    "Problem",
    "Verification",
    "attempted",
    "line",
    "lines",
    "operated",
    "parse",
    "seal",
    "trailer",
    "verify",
]
