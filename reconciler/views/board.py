"""The board: services as rows, their environments in promotion order.

What it costs to show a page follows from what is on it: of those that are not shown it looks at their status in memory,
and at nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from reconciler.core.readable import plain
from reconciler.core.services import Service, promotion_order, stage_of
from reconciler.model import EnvironmentName, OperatorHand, Status
from reconciler.views.cards import NOTHING_ASKED, RECENT, SENTENCE, Card, card_of, shown_upto, unseen
from reconciler.views.facts import Facts
from reconciler.views.recall import Titles
from reconciler.views.states import State, state_of

__all__ = ["BAD", "CARDS", "ROWS", "STAGES", "WORST", "Board", "BoardQuery", "Card", "Row", "board", "trouble_of"]

ROWS = 25
"""Services on one page."""
CARDS = 60
"""Environments on one page; a service with more goes on on the next."""
ROOMY = 12
"""Environments that are seen at once, without anybody being told where to look first."""
WORST = 2
"""Environments in each bad state that are named there."""
BAD = (State.DEGRADED, State.DRIFTED, State.UNKNOWN, State.HELD)
"""States that somebody should look at, the worst first."""
STAGES = 8
"""Most columns that have a title."""
SEARCHED = 200
"""Characters of a search that are looked at."""
WORDS = 8
"""Different words of it; further ones are passed over."""
_DIGITS = 4
"""The fewest first digits by which a digest is found: fewer are in many of them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One service, or a part of a large one."""

    service: str
    """The folder of its environments; else mostly the artifact's name."""
    cards: tuple[Card, ...]
    """In promotion order: those that were searched for."""
    members: int
    """How many environments it has, whatever was searched for."""


@dataclass(frozen=True, slots=True)
class BoardQuery:
    """What somebody wants to see; everything came from outside, and was bounded by whoever made this."""

    text: str = ""
    """Words, each in the name, the run, the request or an approver, or the first four or more digits of a digest."""
    state: State | None = None
    page: int = 1


@dataclass(frozen=True, slots=True)
class Board:
    """One page of it."""

    query: BoardQuery
    """With the page that this is."""
    stages: tuple[str, ...]
    """Titles of columns, in promotion order, where the rows share them; empty: each row flows on its own."""
    rows: tuple[Row, ...]
    counts: Mapping[State, int]
    """Of all environments, whatever was searched for; every state is there."""
    total: int
    found: int
    """Environments that were searched for."""
    pages: int
    """At least one."""
    as_of: datetime
    last_event: int
    """The newest change of state that this page shows: live updates go on behind it."""
    trouble: str
    """Why the branch is not followed, or that no look was made yet; empty when all is well."""
    worst: tuple[Card, ...] = ()
    """Where to look first: up to `WORST` in each bad state. Empty where the board is short, searched, or not the first
    page."""


@dataclass(frozen=True, slots=True)
class _Fleet:
    """All environments, as of one moment."""

    statuses: Mapping[EnvironmentName, Status]
    hands: Mapping[EnvironmentName, OperatorHand]
    services: tuple[Service, ...]
    last_event: int

    def states(self) -> dict[EnvironmentName, State]:
        """Of each; nobody knows of one that no pass has looked at."""
        statuses, hands = self.statuses, self.hands
        return {
            name: state_of(statuses[name], hands.get(name, NOTHING_ASKED)) if name in statuses else State.UNKNOWN
            for service in self.services
            for name in service.members
        }


@dataclass(frozen=True, slots=True)
class _Found:
    """What was searched for. Two rows beside each other: ten thousand pairs would be more work than all the rest."""

    services: Sequence[Service]
    names: Sequence[Sequence[EnvironmentName]]


@dataclass(frozen=True, slots=True)
class _Part:
    """What of a service is shown on one page."""

    service: Service
    names: Sequence[EnvironmentName]


def board(facts: Facts, query: BoardQuery) -> Board:
    """One page of the board.

    Raises:
        ReconcilerError: `StoreUnavailable`.
    """
    fleet = _fleet(facts)
    states = fleet.states()
    found = _found(fleet, states, query)
    pages = _paged(found.names)
    page = min(max(query.page, 1), len(pages))
    shown = _parts(found, pages[page - 1])
    card = _cards(facts, fleet)
    return Board(
        query=BoardQuery(query.text, query.state, page),
        stages=_stages([part.names for part in shown]),
        rows=_rows(card, shown),
        counts=dict.fromkeys(State, 0) | Counter(states.values()),
        total=len(states),
        found=sum(map(len, found.names)),
        pages=len(pages),
        as_of=facts.clock.now(),
        last_event=fleet.last_event,
        trouble=trouble_of(facts),
        worst=_worst(card, states) if query == BoardQuery() and len(states) > ROOMY else (),
    )


def trouble_of(facts: Facts) -> str:
    """Why what is shown may not be what is declared by now; empty when all is well."""
    catalog = facts.catalog
    if told := facts.trouble() or catalog.rewritten:
        return plain(told, SENTENCE)
    if catalog.tip is None:
        return "no look at the repository was made yet: this is what was remembered"
    problems = (*catalog.policy.problems, *catalog.misnamed)
    more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
    return plain(str(problems[0]), SENTENCE) + more if problems else ""


def _fleet(facts: Facts) -> _Fleet:
    recent = facts.store.transitions(limit=RECENT)
    statuses = facts.statuses()
    others = frozenset(statuses.keys() - set(facts.catalog.environments))
    services = facts.recall.services(facts.catalog, others)
    return _Fleet(statuses, facts.store.hands(), services, shown_upto(recent, statuses))


def _found(fleet: _Fleet, states: Mapping[EnvironmentName, State], query: BoardQuery) -> _Found:
    """What was searched for, in the order of services."""
    words = words_of(query.text)
    if not words and query.state is None:
        return _Found(fleet.services, [service.members for service in fleet.services])
    matches = _matcher(fleet.statuses, words)

    def wanted(name: EnvironmentName) -> bool:
        return (query.state is None or states[name] is query.state) and matches(name)

    services, names = list[Service](), list[list[EnvironmentName]]()
    for service in fleet.services:
        if members := [name for name in service.members if wanted(name)]:
            services.append(service)
            names.append(members)
    return _Found(services, names)


def words_of(text: str) -> tuple[str, ...]:
    """What is looked for in each environment."""
    return tuple(dict.fromkeys(text[:SEARCHED].lower().split()))[:WORDS]


def _matcher(statuses: Mapping[EnvironmentName, Status], words: tuple[str, ...]) -> Callable[[EnvironmentName], bool]:
    def matches(name: EnvironmentName) -> bool:
        left = [word for word in words if word not in name]
        status = statuses.get(name)
        return not left or (status is not None and all(_in_status(word, status) for word in left))

    return matches


def _in_status(word: str, status: Status) -> bool:
    live, declared = status.live, status.declared
    digests = (live.sha256 if live else "", declared.sha256 or "")
    if len(word) >= _DIGITS and any(digest.startswith(word) for digest in digests):
        return True
    texts = (str(live.run_id) if live else "", str(declared.run_id or ""), status.request, *status.approvers)
    return any(word in text.lower() for text in texts)


def _paged(rows: Sequence[Sequence[EnvironmentName]]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where pages begin and end, as row and place in it.

    A page has at most `ROWS` rows and `CARDS` environments; a row is divided only where it fills a page.
    """
    pages: list[tuple[tuple[int, int], tuple[int, int]]] = []
    first, places, count = (0, 0), 0, 0
    for row, names in enumerate(rows):
        for start in range(0, len(names), CARDS):
            size = min(CARDS, len(names) - start)
            if places and (count + size > CARDS or places == ROWS):
                pages.append((first, (row, start)))
                first, places, count = (row, start), 0, 0
            places, count = places + 1, count + size
    return [*pages, (first, (len(rows), 0))]


def _parts(found: _Found, page: tuple[tuple[int, int], tuple[int, int]]) -> list[_Part]:
    (row, start), (last, end) = page
    parts: list[_Part] = []
    while (row, start) < (last, end):
        names = found.names[row]
        stop = min(start + CARDS, len(names))
        parts.append(_Part(found.services[row], names[start:stop]))
        row, start = (row, stop) if stop < len(names) else (row + 1, 0)
    return parts


def _stages(rows: Sequence[Sequence[EnvironmentName]]) -> tuple[str, ...]:
    """Columns that the rows share: a few, in an order that is every row's, and more than half of the fields filled."""
    named = [[stage_of(name) for name in row] for row in rows]
    before: dict[str, set[str]] = {}
    for row in named:
        for place, stage in enumerate(row):
            before.setdefault(stage, set()).update(row[max(0, place - 1) : place])
        if len(before) > STAGES or len(set(row)) < len(row):
            return ()
    order = promotion_order(tuple(before), lambda stage: before[stage])
    places = {stage: place for place, stage in enumerate(order)}
    if any(sorted(row, key=places.__getitem__) != row for row in named):
        return ()
    return order if 2 * sum(map(len, named)) > len(named) * len(order) else ()


def _cards(facts: Facts, fleet: _Fleet) -> Callable[[EnvironmentName], Card]:
    titles = Titles(facts.recall, facts.repository)

    def card(name: EnvironmentName) -> Card:
        status = fleet.statuses.get(name) or unseen(name, facts.catalog.tip)
        return card_of(facts, status, fleet.hands.get(name, NOTHING_ASKED), fleet.statuses, titles)

    return card


def _worst(card: Callable[[EnvironmentName], Card], states: Mapping[EnvironmentName, State]) -> tuple[Card, ...]:
    names: dict[State, list[EnvironmentName]] = {state: [] for state in BAD}
    for name, state in states.items():
        if state in names and len(names[state]) < WORST:
            names[state].append(name)
    return tuple(map(card, chain.from_iterable(names.values())))


def _rows(card: Callable[[EnvironmentName], Card], shown: Sequence[_Part]) -> tuple[Row, ...]:
    return tuple(Row(part.service.name, tuple(map(card, part.names)), len(part.service.members)) for part in shown)
