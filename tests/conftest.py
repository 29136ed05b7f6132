"""What the whole suite shares: how it is interrupted, and how its figures are shown."""

from __future__ import annotations

import os
import signal
from typing import Any


def pytest_configure() -> None:
    """Let programs under test be interrupted, also when the suite itself was started in the background.

    A shell without job control has what it starts with & ignore SIGINT, and every child of that inherits it.
    Let them keep what they compile, too, whatever the shell says: there are a thousand, and they are all the same.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say at how many steps the plug was pulled, also when the tests ran in other processes."""
    for report in terminalreporter.stats.get("passed", []):
        steps = dict(report.user_properties).get("steps")
        if steps is not None:
            terminalreporter.write_line(f"{report.nodeid.split('::')[-1]}: {steps} steps")
