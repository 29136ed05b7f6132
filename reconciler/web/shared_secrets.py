"""The secrets that a forge signs its deliveries with, read anew for each: so that rotation needs no restart.

A file holds one secret a line. To rotate: add the new one, change it at the forge, remove the old one. A secret is in
no message; where it should come from is.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 16
"""Characters of a secret at least: one that can be guessed lets anybody sign."""
MOST = 8
"""Secrets in force at once: each costs one more hash of every body."""
_MAX_BYTES = 16 * 1024


class Unusable(Exception):
    """No delivery can be proven now; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Secrets:
    """Names an environment variable that holds one secret, or a file with some."""

    env: str | None = None
    file: Path | None = None

    def current(self) -> tuple[bytes, ...]:
        """Every secret in force: at least one.

        Raises:
            Unusable: There is none, or one is too short; then none of them counts.
        """
        place = f"the environment variable {self.env}" if self.file is None else str(self.file)
        text = os.environb.get(os.fsencode(self.env or ""), b"") if self.file is None else _read(self.file)
        found = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
        if not found:
            raise Unusable(f"{place} holds no secret", "put the webhook's secret there")
        if len(found) > MOST:
            raise Unusable(f"{place} holds {len(found)} secrets; at most {MOST} count", "remove the old ones")
        if any(len(secret) < SHORTEST for secret in found):
            hint = "make a random one, `openssl rand -hex 32` say, and set it at the forge too"
            raise Unusable(f"{place} holds a secret of fewer than {SHORTEST} characters", hint)
        return found


def _read(path: Path) -> bytes:
    hint = "check web.webhook_secret_file, and that the daemon's user may read it"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unusable(f"{path} is not a file", hint)
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror or type(error).__name__}", hint) from None
    if len(data) > _MAX_BYTES:
        raise Unusable(f"{path} is larger than {_MAX_BYTES} bytes", hint)
    return data
