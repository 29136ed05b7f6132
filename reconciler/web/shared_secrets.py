"""Secrets that are shared with others, read anew each time they are needed: so that rotation needs no restart.

There are two kinds: what a forge signs its deliveries with, and the tokens of people and programs that read. A file
holds one a line. To rotate: add the new one, change it where it is used, remove the old one. A secret is in no message;
where it should come from is.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

SHORTEST = 16
"""Characters of a secret at least: one that can be guessed is none."""
_MAX_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Purpose:
    """What secrets are for, in the words of messages."""

    key: str
    """Of the settings, without its end: `web.token` stands for `web.token_env` and `web.token_file`."""
    one: str
    """`secret`, `token`."""
    most: int
    """In force at once: each costs a hash of everything that is proven."""
    put: str
    """What to put there."""
    renew: str
    """How to make a good one."""
    consequence: str
    """What does not work while they can't be used."""


WEBHOOK = Purpose(
    "web.webhook_secret",
    "secret",
    8,
    "put the webhook's secret there",
    "make a random one, `openssl rand -hex 32` say, and set it at the forge too",
    "webhooks can't be proven, so none is taken",
)
TOKEN = Purpose(
    "web.token",
    "token",
    64,
    "put a token there, one a line",
    "make a random one: `openssl rand -hex 32`",
    "tokens can't be checked, so nobody may read pages and API",
)


class Unusable(Exception):
    """Nothing can be proven now; `hint` says what to do, `consequence` what does not work meanwhile."""

    def __init__(self, message: str, hint: str, consequence: str = WEBHOOK.consequence) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.consequence = consequence


@dataclass(frozen=True, slots=True)
class Secrets:
    """Names an environment variable that holds one secret, or a file with some."""

    env: str | None = None
    file: Path | None = None
    purpose: Purpose = WEBHOOK

    def current(self) -> tuple[bytes, ...]:
        """Every secret in force: at least one.

        Raises:
            Unusable: There is none, or one is too short; then none of them counts.
        """
        place = f"the environment variable {self.env}" if self.file is None else str(self.file)
        text = os.environb.get(os.fsencode(self.env or ""), b"") if self.file is None else self._read(self.file)
        found = tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))
        one, most = self.purpose.one, self.purpose.most
        if not found:
            raise self._unusable(f"{place} holds no {one}", self.purpose.put)
        if len(found) > most:
            raise self._unusable(f"{place} holds {len(found)} {one}s; at most {most} count", "remove the old ones")
        if any(len(secret) < SHORTEST for secret in found):
            raise self._unusable(f"{place} holds a {one} of fewer than {SHORTEST} characters", self.purpose.renew)
        return found

    @property
    def is_bare(self) -> bool:
        """Whether they are in a file that everybody on this machine can read."""
        try:
            return self.file is not None and bool(self.file.stat().st_mode & stat.S_IROTH)
        except OSError:
            return False

    def _read(self, path: Path) -> bytes:
        hint = f"check {self.purpose.key}_file, and that the daemon's user may read it"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise self._unusable(f"{path} is not a file", hint)
                data = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise self._unusable(f"{path}: {error.strerror or type(error).__name__}", hint) from None
        if len(data) > _MAX_BYTES:
            raise self._unusable(f"{path} is larger than {_MAX_BYTES} bytes", hint)
        return data

    def _unusable(self, message: str, hint: str) -> Unusable:
        return Unusable(message, hint, self.purpose.consequence)
