"""The audit chain: what was done, one line per entry, each bound to the one before by its hash.

`entry` makes and reads lines; `checkpoint` those that are signed; `chain` judges a whole export. They need nothing but
the bytes. Where the chain is kept, and that nobody appends to it twice at once, is the store's part; signing is an
adapter's.
"""

from __future__ import annotations

from reconciler.core.audit.chain import Follower, Problem, Signed, Verification, lines, trailer, verify
from reconciler.core.audit.checkpoint import NAMESPACE, Checkpoint, Signature, Signatures, statement
from reconciler.core.audit.checkpoint import line as checkpoint_line
from reconciler.core.audit.checkpoint import parse as parse_checkpoint
from reconciler.core.audit.entry import (
    MAX_LINE,
    START,
    Entry,
    Fact,
    GateRecord,
    Head,
    Kind,
    attempted,
    digest,
    line,
    operated,
    parse,
    policy_accepted,
    rewrite_accepted,
    seal,
)
from reconciler.core.strictjson import Malformed

__all__ = [
    "MAX_LINE",
    "NAMESPACE",
    "START",
    "Checkpoint",
    "Entry",
    "Fact",
    "Follower",
    "GateRecord",
    "Head",
    "Kind",
    "Malformed",
    "Problem",
    "Signature",
    "Signatures",
    "Signed",
    "Verification",
    "attempted",
    "checkpoint_line",
    "digest",
    "line",
    "lines",
    "operated",
    "parse",
    "parse_checkpoint",
    "policy_accepted",
    "rewrite_accepted",
    "seal",
    "statement",
    "trailer",
    "verify",
]
