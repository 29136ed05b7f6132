"""Where the messages of one route go: a program of its own sends each, and has so long for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from reconciler.errors import ReconcilerError
from reconciler.machine import jobs
from reconciler.net import Secret
from reconciler.notifications.addresses import BadAddress, Kind, kind_of
from reconciler.notifications.words import Message

PROGRAM = "reconciler.notifications.post"
EXTRA = "in the source, with the daemon's own pip: pip install '.[notifications]'"
_REACH = (
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
"""What the program gets of the daemon's variables beside those that are harmless: how servers are reached."""
_HERE = Path(__file__).parents[2]


class NotSent(Exception):
    """A message was not taken. The message says why, without anything of the address."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def installed() -> bool:
    """Whether apprise is there; it is not loaded for this."""
    return find_spec("apprise") is not None


@dataclass(frozen=True, slots=True)
class Channel:
    """One address.

    Args:
        route: The name of its route.
        secret: Where the address is; read anew for each message, so that it can be changed without a restart.
        seconds: What a message may take.
    """

    route: str
    secret: Secret
    seconds: float

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            NotSent: It was not taken, or not in time. It may have arrived all the same.
        """
        address, kind = self._address()
        body = message.markdown() if kind.markdown else message.text()
        self._post(address, message.title, body, message.urgency, message.document, only_try=False)

    def check(self) -> str:
        """What kind of channel it is; nobody is asked, and nothing is sent.

        Raises:
            NotSent: The address can't be read, or used.
        """
        address, kind = self._address()
        self._post(address, "", "", "info", {}, only_try=True)
        return kind.name

    def _address(self) -> tuple[str, Kind]:
        try:
            address = self.secret.token()
        except ReconcilerError as error:
            raise NotSent(error.message, error.hint) from None
        try:
            return address, kind_of(address)
        except BadAddress as bad:
            raise self._refused(str(bad)) from None

    def _post(
        self, address: str, title: str, body: str, urgency: str, document: dict[str, object], *, only_try: bool
    ) -> None:
        request: dict[str, object] = {"address": address, "title": title, "body": body, "urgency": urgency}
        request |= {"document": document, "seconds": self.seconds, "try": only_try}
        why = self._ask(json.dumps(request).encode())
        if why:
            raise self._refused(why)

    def _ask(self, request: bytes) -> str:
        """Run the program; returns why it did not work, empty when it did."""
        argv = [sys.executable, "-P", "-m", PROGRAM]
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_variables(),
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            return f"the program that sends can't be started: {error.strerror or type(error).__name__}"
        with process:
            try:
                said, _ = process.communicate(request, timeout=self.seconds)
            except subprocess.TimeoutExpired:
                return f"it took more than {self.seconds:g} s"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        return _why(said)

    def _refused(self, why: str) -> NotSent:
        hint = f"look at {self.secret.place}, then: reconciler notify --test {self.route}"
        return NotSent(f"the route {self.route}: {why}", hint)


def _variables() -> dict[str, str]:
    """Few of ours; no home folder, where `requests` would look for passwords."""
    found = {name: os.environ[name] for name in _REACH if name in os.environ}
    return {**jobs.own_variables(), **found, "HOME": "/nonexistent", "PYTHONPATH": str(_HERE)}


def _why(said: bytes) -> str:
    try:
        return str(json.loads(said)["why"])
    except (ValueError, LookupError, TypeError):
        return "the program that sends ended without a word"
