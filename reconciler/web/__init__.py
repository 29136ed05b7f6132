"""The daemon's HTTP listener: pages, API and live events, probes, metrics and webhooks. It wakes, and changes nothing.

`opening` makes it as the settings want it; `listener` holds the socket and the thread, `application` the routes.
Around them, `guard` says what is true of every answer, `access` who may read, `readers` how much is made at once, and
`refusals` says no. `api` answers programs: `parameters` are what they may ask, `shapes` what they get. `live` tells
what changes, `pages` are for people. `webhooks` proves a delivery before anything in it is read, `deliveries` says what
it wakes, and `waking` how often. The package knows neither settings nor daemon.
"""

from reconciler.web.application import app
from reconciler.web.deliveries import LOOK, Tracked, Wake
from reconciler.web.journal import Journal
from reconciler.web.listener import Listener
from reconciler.web.opening import Opened, Places, Taken, check, open_listener
from reconciler.web.shared_secrets import Secrets, Unusable
from reconciler.web.webhooks import Hooks, Limits

__all__ = [
    "LOOK",
    "Hooks",
    "Journal",
    "Limits",
    "Listener",
    "Opened",
    "Places",
    "Secrets",
    "Taken",
    "Tracked",
    "Unusable",
    "Wake",
    "app",
    "check",
    "open_listener",
]
