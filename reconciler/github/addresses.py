"""Where GitHub shows things to people. Addresses are made, nobody is asked for them."""

from __future__ import annotations

import re
from urllib.parse import quote

from reconciler.github.options import GITHUB_COM, GitHubOptions

_PAGES = "https://github.com"
_REQUEST = re.compile(r"#([1-9][0-9]{0,18})")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class Addresses:
    """Pages of one repository; implements `ports.Addresses`.

    Args:
        options: Which GitHub, and which repository.
        branch: The tracked branch; empty: files can't be edited.
    """

    def __init__(self, options: GitHubOptions, branch: str = "") -> None:
        api = options.url.rstrip("/")
        self._repository = f"{_PAGES if api == GITHUB_COM else api.removesuffix('/api/v3')}/{options.repository}"
        self._branch = branch

    def request(self, request: str) -> str:
        """Of a pull request, `#12`; empty for what is none."""
        found = _REQUEST.fullmatch(request)
        return f"{self._repository}/pull/{found[1]}" if found else ""

    def commit(self, commit: str) -> str:
        """Of a commit, by its full name."""
        return f"{self._repository}/commit/{commit}" if _COMMIT.fullmatch(commit) else ""

    def edit(self, path: str) -> str:
        """Where a file on the tracked branch is changed, and the change proposed."""
        return f"{self._repository}/edit/{quote(self._branch)}/{quote(path)}" if self._branch else ""

    def run(self, run_id: int) -> str:
        """Of a run of Actions."""
        return f"{self._repository}/actions/runs/{run_id}"
