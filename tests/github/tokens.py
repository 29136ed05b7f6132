"""Who may ask: tokens, and an App's signed word for which it gets one."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from functools import cache

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.github.state import Account, App

_LONGEST = 600
"""docs: 'Generating a JSON Web Token (JWT) for a GitHub App': at most 10 minutes ahead."""
_HOUR = 3600


class BadToken(Exception):
    """What GitHub says of it."""


@dataclass(frozen=True)
class Issued:
    """Whose token it is, and until when it holds; None: for good."""

    account: Account
    until: float | None


class Tokens:
    """All that is accepted as a credential."""

    def __init__(self, operator: Account) -> None:
        self.operator = operator
        self.app: App | None = None
        self._issued: dict[str, Issued] = {}

    def add(self, account: Account, token: str, seconds: float | None = None) -> str:
        """A token from now on."""
        self._issued[token] = Issued(account, None if seconds is None else time.time() + seconds)
        return token

    def revoke(self, token: str) -> None:
        """Not any more."""
        self._issued.pop(token, None)

    def revoke_installations(self) -> None:
        """No installation token holds any more."""
        self._issued = {token: one for token, one in self._issued.items() if one.until is None}

    def account(self, authorization: str) -> Account:
        """Whose request it is.

        Raises:
            BadToken: Nobody's.
        """
        scheme, _, token = authorization.partition(" ")
        issued = self._issued.get(token) if scheme.lower() in ("bearer", "token") else None
        if issued is None or (issued.until is not None and issued.until < time.time()):
            raise BadToken("Bad credentials" if authorization else "Requires authentication")
        return issued.account

    def install(self, authorization: str, installation: int) -> tuple[str, float]:
        """A token of the installation for the App's signed word, and when it ends.

        Raises:
            BadToken: The word is not the App's, or not of now.
            KeyError: No such installation.
        """
        if self.app is None:
            raise BadToken("A JSON web token could not be decoded")
        self._check(authorization.removeprefix("Bearer "), self.app)
        if installation != self.app.installation:
            raise KeyError(installation)
        token = self.add(self.app.account, f"ghs_{secrets.token_hex(18)}", _HOUR)
        return token, time.time() + _HOUR

    def _check(self, word: str, app: App) -> None:
        try:
            claims = jwt.decode(word, app.public_key, ["RS256"], options={"require": ["exp", "iat", "iss"]})
        except jwt.PyJWTError as error:
            raise BadToken(f"A JSON web token could not be decoded ({error})") from None
        if str(claims["iss"]) != str(app.id):
            raise BadToken("'Issuer' claim ('iss') must be an Integer")
        if claims["exp"] > time.time() + _LONGEST:
            raise BadToken("'Expiration time' claim ('exp') is too far in the future")


@cache
def rsa_key() -> tuple[str, str]:
    """A private key in PEM as GitHub gives it out (PKCS#1), and its public half; made once for each process."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.PEM, form)
    return private.decode(), public.decode()
