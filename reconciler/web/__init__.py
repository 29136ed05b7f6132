"""The daemon's HTTP listener: probes, metrics and webhooks. It wakes the daemon, and changes nothing.

`opening` makes it as the settings want it; `listener` holds the socket and the thread, `application` the routes,
`guard` what is true of every answer; `webhooks` proves a delivery before anything in it is read, `events` says what
it wakes, and `waking` how often. The package knows neither settings nor daemon.
"""

from reconciler.web.application import app
from reconciler.web.events import LOOK, Tracked, Wake
from reconciler.web.journal import Journal
from reconciler.web.listener import Listener
from reconciler.web.opening import Places, check, open_listener
from reconciler.web.shared_secrets import Secrets, Unusable
from reconciler.web.webhooks import Hooks, Limits

__all__ = [
    "LOOK",
    "Hooks",
    "Journal",
    "Limits",
    "Listener",
    "Places",
    "Secrets",
    "Tracked",
    "Unusable",
    "Wake",
    "app",
    "check",
    "open_listener",
]
