"""`demo freeze`: for an hour nothing new comes to staging and prod. A change of the policy, let in like any other."""

from __future__ import annotations

import re
from datetime import timedelta

from reconciler.core.declare import FOLDER, POLICY
from reconciler.core.rules import Rules, read_policy
from reconciler.demo.folder import shown
from reconciler.demo.tour import ENVIRONMENTS, PROD, STAGING, Tour
from reconciler.errors import Reason, Terminal
from reconciler.model import Status, Sync

LASTS = timedelta(hours=1)

_FREEZE = re.compile(r"^freeze:\n(?:[ -].*\n)*", re.MULTILINE)
_ENTRY = """\
freeze:
  - reason: half of the team is on a train
    environments: [{environments}]
    from: {since:%Y-%m-%dT%H:%M}    # in UTC, unless time_zone names another
    to: {until:%Y-%m-%dT%H:%M}
"""


def freeze(tour: Tour) -> None:
    """Freeze staging and prod for an hour.

    Raises:
        ReconcilerError: The policy can't be changed.
    """
    story, now = tour.story, tour.clock.now()
    tour.clone.catch_up()
    text = _policy(tour)
    closed = _rules(tour, text).frozen(PROD, now)
    if closed:
        story.says(f"prod is frozen already: {closed.reason}; `reconciler demo freeze --lift` ends it.")
        return
    since = now.replace(second=0, microsecond=0)
    until = since + LASTS
    entry = _ENTRY.format(environments=f"{STAGING}, {PROD}", since=since, until=until)
    story.headline(f"The engineer adds a freeze to {FOLDER}/{POLICY}, the reviewer lets it in.")
    _change(tour, "freeze", _FREEZE.sub("", text) + entry, f"Freeze {STAGING} and {PROD}")
    story.headline(f"Nothing new comes to {STAGING} or {PROD} until {until:%H:%M} UTC. What runs there runs on.")


def lift(tour: Tour) -> None:
    """End it.

    Raises:
        ReconcilerError: The policy can't be changed, or the daemon did not go on.
    """
    story = tour.story
    tour.clone.catch_up()
    text = _policy(tour)
    if not _FREEZE.search(text):
        story.says("Nothing is frozen.")
        return
    story.headline("The freeze ends early. What loosens a rule counts only once somebody let it in.")
    _change(tour, "lift-freeze", _FREEZE.sub("", text), "Lift the freeze")
    tour.watch.until(ENVIRONMENTS, "what was frozen goes on", _thawed)
    story.headline("What waited went on by itself; nobody proposed or approved it again.")
    tour.type("get")


def _thawed(status: Status) -> bool:
    return status.ready or (status.sync is Sync.HELD and status.reason is not Reason.FROZEN)


def _change(tour: Tour, branch: str, text: str, message: str) -> None:
    _rules(tour, text)
    tour.clone.branch(branch)
    tour.clone.edit(tour.clone.policy, text.encode(), message)
    tour.clone.merge(branch)
    tour.clone.push("reviewer")


def _policy(tour: Tour) -> str:
    """The policy's text; that of an empty one while there is none."""
    return tour.clone.policy.read_text() if tour.clone.policy.is_file() else "version: 1\n"


def _rules(tour: Tour, text: str) -> Rules:
    """What a policy's text asks for.

    Raises:
        Terminal: `InvalidDeclaration`: it can't be read.
    """
    reading = read_policy(POLICY, text.encode())
    if reading.document is None:
        problems = "; ".join(map(str, reading.problems))
        raise Terminal(Reason.INVALID_DECLARATION, problems, f"mend {shown(tour.clone.policy)} first")
    return Rules((reading.document,))
