"""What the whole suite shares: how its figures are shown."""

from __future__ import annotations

from typing import Any


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say at how many steps the plug was pulled, also when the tests ran in other processes."""
    for report in terminalreporter.stats.get("passed", []):
        steps = dict(report.user_properties).get("steps")
        if steps is not None:
            terminalreporter.write_line(f"{report.nodeid.split('::')[-1]}: {steps} steps")
