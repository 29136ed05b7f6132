"""What the demo's pages must show at each step of the tour, by themselves; looked at while others type the tour."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser

from tests.browser.chromium import tab
from tests.browser.watching import Watched, watching
from tests.site import eventually

_ADDRESS = re.compile(r"pages (http://127\.0\.0\.1:\d+)")
AWAY = (r"^link: live", r"^link: reconnecting")
BACK = (r"^link: live",)

BOARD = {
    "make run": (r"^dev: .*Healthy.*Run 102", r"^link: live"),
    "reconciler demo approve promote/prod/run-102": (
        r"^prod: .*Held Sync Held Health Healthy Run 101 .*run 102 declared NotInUpstream: .* Next ",
    ),
    "reconciler demo merge": (r"^staging: .*Healthy.*Run 101", r"^staging: .*Healthy.*Run 102"),
    "reconciler wait prod --for Ready --timeout 60s": (
        r"^prod: .*NotInUpstream",
        r"^prod: .*Run 101 .*Soaking: .*Opens in .*Next wait",
        r"^prod: .*Healthy.*Run 102",
    ),
    "reconciler demo approve promote/staging/run-103": (r"^staging: .*Frozen .*Run 102 .*Opens in .*Next ",),
    "reconciler demo approve rollback/prod/run-101": (r"^prod: .*Run 102", r"^prod: .*Healthy Run 101"),
    "reconciler demo freeze --lift": (r"^staging: .*Frozen", r"^staging: .*Healthy Run 103"),
    "reconciler demo smuggle": (
        r"^link: live",
        r"^link: reconnecting",
        r"^link: live",
        r"^prod: .*Run 101 .*ApprovalMissing",
    ),
    "reconciler demo smuggle --revert": (r"^prod: .*ApprovalMissing", r"^prod: .*Synced Health Healthy Run 101"),
    "reconciler demo tamper": (r"^staging: .*Run 103 .*DigestMismatch",),
    # Healthy for less than a second, which a busy board may leap over; the page has been told of it all the same.
    "reconciler demo break": (
        r"^event: web Synced Healthy",
        r"^web: .*Run 201 .*HealthCheckFailed.* is live again",
    ),
}
"""On the board that was opened behind the first line, in this order; it is never loaded again."""
PROD = {
    "reconciler demo approve promote/prod/run-102": (r"^page: prod Held .*NotInUpstream: .* Next ",),
    "reconciler wait prod --for Ready --timeout 60s": (r"^page: .*Soaking", r"^page: prod Well .*Run 102"),
    "reconciler demo approve rollback/prod/run-101": (r"^history: .*rollback run 101",),
    "reconciler demo smuggle": (r"^page: prod Held .*ApprovalMissing",),
}
"""On the page of prod."""


PAGES = {
    "/audit": (r"Verified \d+ entries", r"Signed up to entry \d+", r"ApprovalMissing", r"DigestMismatch"),
    "/compare?left=prod&right=dev": (
        r"From: prod Run 101",
        r"To: dev Run 103",
        r"1 added",
        r"run\.103-py3-none-any\.whl",
    ),
    "/timeline": (r"Deployments", r"Lead time", r"rollback by itself"),
    "/environments/staging": (r"succeeded repair run 102", r"Who and why"),
    "/environments/web": (
        r"web Degraded Sync Held",
        r"HealthCheckFailed: 202-.* 201-.* is live again",
        r"Proof, from CI to the disk",
    ),
    "/reasons/NotInUpstream": (r"NotInUpstream", r"What to do"),
}
"""Behind the last step that changes anything: what stands on the others."""
RESTARTED = "reconciler demo freeze --lift"
LAST = "reconciler demo break"


class Touring:
    """The pages of a tour, opened as soon as there are any."""

    def __init__(self, browser: Browser, folder: Path, stack: ExitStack) -> None:
        self._browser = browser
        self._folder = folder
        self._stack = stack
        self._url = ""
        self._open: tuple[tuple[dict[str, tuple[str, ...]], Watched], ...] = ()
        self._wrong: list[str] = []

    @property
    def wrong(self) -> list[str]:
        """What was not shown, and what went wrong in a page."""
        return self._wrong + [one for _, page in self._open for one in page.missing + page.tab.wrong]

    def after(self, command: str, said: str) -> None:
        """Look at the pages behind a line of the tour."""
        if found := _ADDRESS.search(said):
            self._url = found[1]
            board = self._stack.enter_context(watching(self._browser, self._url + "/"))
            prod = self._stack.enter_context(watching(self._browser, self._url + "/environments/prod"))
            self._open = ((BOARD, board), (PROD, prod))
        for expected, page in self._open:
            if command in expected:
                page.expect(command, *expected[command])
        if command == RESTARTED:
            self._restart()
        if command == LAST:
            self._visit()

    def _restart(self) -> None:
        """The daemon ends and comes again: pages say so both times."""
        demo = self._folder / ".demo"
        pid = int((demo / "daemon.pid").read_text())
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            self._wrong.append(f"the daemon had ended already: {(demo / 'daemon.log').read_text()[-2000:]}")
        for _, page in self._open:
            page.expect("the daemon ended", *AWAY)
        eventually(lambda: not Path(f"/proc/{pid}").exists())  # else `up` would find one that is about to go
        up = (sys.executable, "-P", "-m", "reconciler", "demo", "up", "--dir", str(demo))
        came = subprocess.run(up, cwd=self._folder, capture_output=True, text=True, timeout=60)
        found = _ADDRESS.search(came.stdout + came.stderr)
        if came.returncode or found is None or found[1] != self._url:
            self._wrong.append(f"the daemon did not come again at {self._url}: {came.stdout}{came.stderr}")
        for _, page in self._open:
            page.expect("the daemon came again", *AWAY, *BACK)
            # What it was asked for while it was away is no fault of the page.
            page.tab.forgive(r"net::ERR_CONNECTION_REFUSED|net::ERR_INCOMPLETE_CHUNKED_ENCODING")

    def _visit(self) -> None:
        for path, patterns in PAGES.items():
            with tab(self._browser, self._url + path) as one:
                text = " ".join(one.page.inner_text("main").split())
                self._wrong += [
                    f"{path} lacks {wanted}: {text[:2000]}" for wanted in patterns if not re.search(wanted, text)
                ]
                self._wrong += [f"{path}: {told}" for told in (*one.wrong, *one.violations())]
