"""Exit codes, and how an error ends a command. The one place that knows both.

Codes are a contract for scripts: 3 says that the product did its work and refused, 1 that something broke.
"""

from __future__ import annotations

import os
from enum import IntEnum
from pathlib import Path

from reconciler.errors import CredentialsNeeded, PolicyDenied, Reason, ReconcilerError


class ExitCode(IntEnum):
    """What a command's end means."""

    OK = 0
    FAILED = 1
    """It broke; or `diff --exit-code` found a difference, `validate` or `audit verify` a problem."""
    USAGE = 2
    """The command, the settings or an environment's name is wrong."""
    REFUSED = 3
    """A gate holds."""
    CREDENTIALS = 4
    """Credentials are needed."""
    TIMEOUT = 5
    """What was waited for did not come in time."""
    NOT_YET = 8
    """Nothing is known yet; the same command may answer later."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it."""


class Stop(Exception):
    """Ends the command with a code, and with `error: …` and `hint: …` on stderr."""

    def __init__(self, code: ExitCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


def code_of(error: ReconcilerError) -> ExitCode:
    """The exit code that a failure of the project's own kind ends a command with."""
    if error.reason in _MISTAKES:
        return ExitCode.USAGE
    if isinstance(error, CredentialsNeeded):
        return ExitCode.CREDENTIALS
    if isinstance(error, PolicyDenied) and error.reason is not Reason.RUN_EXISTS:
        return ExitCode.REFUSED
    return ExitCode.FAILED


def hint_of(error: ReconcilerError, named: Path | None) -> str:
    """What a person can do about a failure; a variable that names a settings file which is gone is worth a word.

    Args:
        error: The failure.
        named: The settings file that was named before the command, which counts before the variable.
    """
    if error.reason is Reason.INVALID_SETTINGS and named is None:
        file = os.environ.get(_VARIABLE)
        if file and not Path(file).exists():
            return f"{_VARIABLE} names it: unset {_VARIABLE}, or `make run`"
    if error.reason is Reason.INVALID_SETTINGS and named is not None and not named.exists():
        return "name a file that is there: -c FILE"
    return error.hint


def pointer_of(error: ReconcilerError) -> str | None:
    """The reason whose page says more; a mistake in what was typed or set up is told in full by its message."""
    return None if error.reason in _MISTAKES else error.reason


_VARIABLE = "RECONCILER_CONFIG"
_MISTAKES = frozenset({Reason.INVALID_SETTINGS, Reason.INVALID_RUN})
