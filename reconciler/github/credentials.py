"""As whom GitHub is asked: a token that the operator keeps somewhere, or a GitHub App that gets one for an hour.

Nothing secret is logged, shown by `repr`, or part of a message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import Field

from reconciler.github.answers import GitHubAnswer, Instant, read
from reconciler.net import Secret, Unavailable
from reconciler.ports import Clock

_DRIFT = timedelta(seconds=60)
"""'To protect against clock drift, we recommend that you set this 60 seconds in the past'; both quotes are from
"Generating a JSON Web Token (JWT) for a GitHub App"."""
_LIFE = timedelta(minutes=9)
"""'No more than 10 minutes into the future', by GitHub's clock."""
_MARGIN = timedelta(minutes=5)
"""How long before its end an installation token is replaced: longer than any call that has begun with it."""


class Credential(Protocol):
    """Who asks."""

    def token(self) -> str:
        """What to show to GitHub now.

        Raises:
            Transient: There is none.
        """
        ...

    def refused(self, token: str) -> bool:
        """GitHub answered 401 to it; returns whether there may be another one by now."""
        ...

    def granted(self) -> dict[str, str] | None:
        """Rights by name, with their level; None: GitHub does not tell.

        Raises:
            Transient: There is no token.
        """
        ...


class StoredToken:
    """A token from a variable or a file, read anew at each use."""

    def __init__(self, secret: Secret) -> None:
        self._secret = secret

    def token(self) -> str:
        """What the variable or the file holds now."""
        return self._secret.token()

    def refused(self, token: str) -> bool:
        """Whether it was rotated while it was in use."""
        return self._secret.token() != token

    def granted(self) -> None:
        """None: GitHub has no question for it."""


class _Issued(GitHubAnswer):
    """Of `POST /app/installations/{installation_id}/access_tokens`."""

    token: str = Field(pattern=r"^[\x21-\x7e]{1,4096}$", repr=False)
    expires_at: Instant
    permissions: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AppKey:
    """What proves that we are the App."""

    id: str
    secret: Secret = field(repr=False)
    unavailable: Unavailable = field(repr=False)

    def proof(self, now: datetime) -> str:
        """A JSON Web Token, good for `_LIFE`.

        Raises:
            Transient: The key is not where it should be, or is none.
        """
        claims = {"iat": int((now - _DRIFT).timestamp()), "exp": int((now + _LIFE).timestamp()), "iss": self.id}
        return jwt.encode(claims, self._key(), algorithm="RS256")

    def _key(self) -> RSAPrivateKey:
        text = self.secret.text()
        try:
            key = load_pem_private_key(text.encode("ascii", "replace"), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise self.unavailable(
                f"{self.secret.what} can't be used: {self.secret.place} holds no RSA private key in PEM without a"
                " passphrase",
                "put the .pem file there that GitHub gave out when the key was made in the App's settings",
            )
        return key


class Installation:
    """The token of an App's installation, got when it is needed and kept in memory only.

    Args:
        key: The App.
        clock: For the token's end.
        ask: Posts to `/app/installations/{id}/access_tokens` with a proof, and returns the answer.
        unavailable: How an answer that can't be used is told.
    """

    def __init__(self, key: AppKey, clock: Clock, ask: Callable[[str], object], unavailable: Unavailable) -> None:
        self._key = key
        self._clock = clock
        self._ask = ask
        self._unavailable = unavailable
        self._issued: _Issued | None = None
        self._lock = Lock()

    def token(self) -> str:
        """The one that is held, or a new one when its end is near. Whoever comes meanwhile waits for it."""
        return self._current().token

    def granted(self) -> dict[str, str]:
        """What the installation's token may do."""
        return self._current().permissions

    def _current(self) -> _Issued:
        with self._lock:
            now = self._clock.now()
            if self._issued is None or self._issued.expires_at - now < _MARGIN:
                self._issued = read(_Issued, self._ask(self._key.proof(now)), self._unavailable)
            return self._issued

    def refused(self, token: str) -> bool:
        """It is not used again; the next one is asked for."""
        with self._lock:
            if self._issued is not None and self._issued.token == token:
                self._issued = None
        return True
