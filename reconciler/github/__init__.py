"""GitHub's REST API, and nothing else: what its answers mean for a change or a run is left to the adapters.

`api` asks, one request at a time and in bounds. Below it, each with one thing to know: `credentials` (a token, or a
GitHub App), `limits` (when GitHub must not be asked at all), `outage` (when there is no point in it), `recall` (answers
that GitHub confirms instead of sending them again), `reading` (bytes to values), `refusals` (what GitHub said no to),
`storage` (downloads, which GitHub has elsewhere). `checking` is for who sets it up.
"""

from reconciler.github.api import Api, connect
from reconciler.github.checking import Checked, Need, check
from reconciler.github.options import AppOptions, GitHubOptions
from reconciler.github.refusals import NotThere, Refused

__all__ = ["Api", "AppOptions", "Checked", "GitHubOptions", "Need", "NotThere", "Refused", "check", "connect"]
