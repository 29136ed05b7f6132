"""Our credentials in what others say: whoever echoes one, in a body, a header or a redirect, no message shows it."""

from __future__ import annotations

import re
from collections import OrderedDict
from threading import Lock

from reconciler.errors import Transient
from reconciler.net import Unavailable

_KEPT = 8
"""Credentials that are looked for: the latest. More are not in use within one answer's time."""
_BEGINNING = 12
"""Characters by which one is recognised, as messages are cut; and so that nothing ordinary is taken for one."""


class Veil:
    """Makes errors, like the `unavailable` that it is given, without the credentials that were in use.

    Args:
        unavailable: Makes them.
    """

    def __init__(self, unavailable: Unavailable) -> None:
        self._unavailable = unavailable
        self._secrets: OrderedDict[str, re.Pattern[str]] = OrderedDict()
        self._lock = Lock()

    def __call__(self, message: str, hint: str = "") -> Transient:
        """An error for people."""
        return self._unavailable(self.over(message), self.over(hint))

    def hide(self, secret: str) -> None:
        """From now on."""
        with self._lock:
            if secret in self._secrets:
                self._secrets.move_to_end(secret)
            elif len(secret) >= _BEGINNING:
                self._secrets[secret] = re.compile(re.escape(secret[:_BEGINNING]) + r"[\w.~+/=-]*", re.ASCII)
            while len(self._secrets) > _KEPT:
                self._secrets.popitem(last=False)

    def over(self, text: str) -> str:
        """Foreign text, with stars in place of what is hidden."""
        with self._lock:
            patterns = tuple(self._secrets.values())
        for pattern in patterns:
            text = pattern.sub("***", text)
        return text
