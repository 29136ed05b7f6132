"""How a failed activation is told: what failed, and the end of what was printed."""

from __future__ import annotations

import signal

from reconciler.core.delivery import forms, masked
from reconciler.errors import Reason, Terminal
from reconciler.machine.programs import Ended
from reconciler.ports import Job

_LAST_LINES = 3
_LAST_CHARACTERS = 400


def failed(job: Job, message: str, printed: str = "", hint: str = "") -> Terminal:
    """An activation that did not come off.

    Args:
        job: Whose secrets are masked in the message.
        message: What failed.
        printed: What was printed, already without secrets.
        hint: What a person can do.
    """
    ending = last(printed)
    return Terminal(Reason.ACTIVATION_FAILED, masked(message, job.secrets) + (f": {ending}" if ending else ""), hint)


def shown(ended: Ended, job: Job) -> str:
    """What a program printed, for people."""
    return ended.output.text(forms(job.secrets)).strip()


def last(printed: str) -> str:
    """The last lines of what was printed, as one line."""
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    text = " / ".join([line for line in lines if line][-_LAST_LINES:])
    return text if len(text) <= _LAST_CHARACTERS else "…" + text[1 - _LAST_CHARACTERS :]


def how(ended: Ended, within: str) -> str:
    """How a program ended that did not end well."""
    if ended.timed_out:
        return f"did not end within {within}, and was stopped"
    if ended.code is None:
        return "was stopped, as the daemon stops"
    return f"ended with {ended.code}" if ended.code >= 0 else f"was ended by {_signal(-ended.code)}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
