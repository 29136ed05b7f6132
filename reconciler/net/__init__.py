"""Asking servers that may be slow, wrong or hostile: `web` asks, `reach` says where, `secret` brings the credential.

Nothing here knows who is asked, or what an answer means. A fault of the world is told by the `Unavailable` that
the caller gives, so that a source says `SourceUnavailable` and a forge `ForgeUnavailable`.
"""

from reconciler.net.ranges import Body, range_end
from reconciler.net.reach import Origin, Reach, Unavailable, origin, shown
from reconciler.net.secret import Secret, VariableName
from reconciler.net.web import Answer, Web

__all__ = [
    "Answer",
    "Body",
    "Origin",
    "Reach",
    "Secret",
    "Unavailable",
    "VariableName",
    "Web",
    "origin",
    "range_end",
    "shown",
]
