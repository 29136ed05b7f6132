"""What looks like a secret, in any line of the log: a last net behind those that keep theirs out of messages.

It knows forms, not values: credentials in an address, tokens and keys that say themselves what they are, and the
signatures of addresses that let in whoever has them.
"""

from __future__ import annotations

import re

STARS = "***"

_FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", re.DOTALL), STARS),
    (re.compile(r"\bAGE-SECRET-KEY-[A-Z0-9-]+", re.IGNORECASE), STARS),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abpr]-)[\w-]{16,}"), STARS),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), STARS),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{12,}", re.IGNORECASE), rf"\1 {STARS}"),
    (re.compile(r"(?<=://)[^\s/@'\"]+@"), f"{STARS}@"),
    (
        re.compile(
            r"([?&](?:sig|signature|token|access_token|key|x-(?:amz|goog)-(?:signature|credential|security-token))=)"
            r"[^&\s'\"]+",
            re.IGNORECASE,
        ),
        rf"\1{STARS}",
    ),
)


def masked(text: str) -> str:
    """The text, with stars for what looks like a secret."""
    for form, instead in _FORMS:
        text = form.sub(instead, text)
    return text
