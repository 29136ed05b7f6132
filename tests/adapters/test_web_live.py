"""Live events over real sockets: each change of state once and in order, whoever was away; and what they may cost."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from reconciler import documents
from reconciler.errors import Reason
from reconciler.model import EnvironmentName, Sync, Transition
from reconciler.views.facts import Facts
from reconciler.web import listener, live
from tests.adapters.weblistener import Client, Reading
from tests.factories import NOON
from tests.site import eventually
from tests.views_samples import sampled

PROD = EnvironmentName("shop/prod")
_EVENT = re.compile(rb"event: (\w+)\ndata: (.*)\nid: (\d+)\n")


@dataclass
class Follower:
    """One that listens."""

    client: Client
    data: bytes = b""

    @property
    def events(self) -> list[tuple[str, int]]:
        """What came so far, and its numbers."""
        return [(kind.decode(), int(number)) for kind, _, number in _EVENT.findall(self.data)]

    @property
    def documents(self) -> list[dict[str, object]]:
        return [json.loads(data) for _, data, _ in _EVENT.findall(self.data)]

    def reads(self) -> bool:
        """Take what is there; False when the server has ended it."""
        try:
            self.client.socket.settimeout(0.02)
            found = self.client.socket.recv(65_536)
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        self.data += found
        return found != b""

    def until(self, text: bytes) -> None:
        eventually(lambda: (self.reads(), text in self.data)[1])

    def has(self, *numbers: int) -> None:
        """Wait for these, and for nothing else."""
        eventually(lambda: (self.reads(), len(self.events) >= len(numbers))[1])
        assert self.events == [("transition", number) for number in numbers]

    def is_ended(self) -> None:
        eventually(lambda: not self.reads())


class Live:
    """A listener whose memory changes."""

    def __init__(self, facts: Facts, stack: ExitStack, **places: Any) -> None:
        self.facts = facts
        self._stack = stack
        self.web = stack.enter_context(Reading(facts, **places).serving())
        self._turn = 0

    @property
    def newest(self) -> int:
        return self.facts.store.transitions(limit=1)[-1].id

    def follow(self, path: str = "/events", *lines: str) -> Follower:
        """Somebody who listens from now on."""
        follower = Follower(self.web.client())
        self._stack.callback(follower.client.socket.close)
        self.web.head(follower.client, path, *lines)
        follower.until(b"\n\n")
        return follower

    def opens(self) -> bool:
        """Whether one more may listen; it is gone again then."""
        client = self.web.client()
        with client.socket:
            self.web.head(client, "/events")
            return client.socket.recv(12) == b"HTTP/1.1 200"

    def change(self, count: int = 1, *, told: bool = True) -> list[int]:
        """So many changes of state, as passes make them; their numbers."""
        before = self.newest
        for _ in range(count):
            self._turn += 1
            status = self.facts.statuses()[PROD]
            sync = Sync.HELD if self._turn % 2 else Sync.UNKNOWN
            self.facts.store.save(replace(status, sync=sync, reason=Reason.FROZEN), NOON)
            if told:
                self.web.changed()
        return list(range(before + 1, before + 1 + count))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Facts]:
    with sampled(tmp_path, 3, mood="mixed") as facts:
        yield facts


@contextmanager
def living(facts: Facts, **places: Any) -> Iterator[Live]:
    with ExitStack() as stack:
        yield Live(facts, stack, **places)


def test_every_change_comes_to_all_who_listen_once_and_in_order(place: Facts) -> None:
    with living(place) as site:
        followers = [site.follow() for _ in range(3)]
        numbers = site.change(5)
        for follower in followers:
            follower.has(*numbers)
        newest = place.store.transitions(limit=1)[-1]
        assert followers[0].documents[-1] == documents.kind("Event", documents.transition(newest))
        for follower in followers:
            follower.client.socket.close()
        late = site.follow()
        late.has(*site.change())


def test_who_was_away_goes_on_without_a_gap_or_a_repetition(place: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PAGE", 4)
    monkeypatch.setattr(live, "KEPT", 6)
    with living(place) as site:
        first = site.follow()
        numbers = site.change(15)
        first.has(*numbers)
        for seen in (1, 4, 8, 12, 15):
            seen_last = f"Last-Event-ID: {numbers[seen - 1]}"  # a newer word than the address
            again = site.follow("/events?after=1", seen_last)
            again.has(*numbers[seen:], *site.change())
            numbers = [*numbers, site.newest]
        every = list(range(1, site.newest + 1))
        site.follow("/events?after=0").has(*every)
        first.has(*numbers)


def test_a_page_may_know_more_than_was_told_so_far(place: Facts) -> None:
    with living(place) as site:
        site.follow()
        (silent,) = site.change(told=False)
        follower = site.follow(f"/events?after={silent}")
        follower.has(*site.change())


def test_when_the_memory_was_lost_who_goes_on_is_told_to_read_all_anew(place: Facts) -> None:
    with living(place) as site:
        follower = site.follow("/events", "Last-Event-ID: 99999")
        follower.until(b"event: reset")
        assert follower.events == [("reset", site.newest)]
        (number,) = site.change()
        follower.until(b"event: transition")
        assert follower.events[1:] == [("transition", number)]


def test_a_memory_that_begins_anew_ends_those_who_listen(place: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    with living(place) as site:
        follower = site.follow()
        follower.has(*site.change())

        def lost(*_: object, **__: object) -> tuple[Transition, ...]:
            return ()

        monkeypatch.setattr(site.facts.store, "transitions", lost)
        monkeypatch.setattr(site.facts.store, "transitions_from", lost)
        site.web.changed()
        follower.is_ended()


def test_while_nothing_happens_nothing_is_read(place: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    with living(place) as site:
        follower = site.follow()
        follower.has(*site.change())
        asked: list[object] = []
        monkeypatch.setattr(live, "run_in_threadpool", lambda *args: asked.append(args))
        for _ in range(20):
            follower.reads()
        assert asked == []


def test_a_heartbeat_tells_that_it_is_still_there(place: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    with living(place) as site:
        follower = site.follow()
        eventually(lambda: (follower.reads(), follower.data.count(b": ping\n\n") > 1)[1])


def test_only_so_many_listen_and_a_place_comes_free(place: Facts) -> None:
    with living(place, event_clients=2) as site:
        first, _ = site.follow(), site.follow()
        refused = site.web.ask("/events")
        assert (refused.status, json.loads(refused.body)["reason"]) == (503, "Busy")
        assert refused.headers["retry-after"]
        assert site.web.ask("/events", method="HEAD").status == 200
        first.client.socket.close()
        eventually(site.opens)


def test_who_does_not_take_what_is_sent_is_dropped_and_nobody_else_waits(
    place: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "SLOW_SECONDS", 0.2)
    with living(place, event_clients=2) as site:
        # Small buffers on the way: the system's own take megabytes.
        site.web.listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        slow = Client(site.web.port)
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        numbers = site.change(600)
        site.web.head(slow, "/events?after=0")
        quick = site.follow(f"/events?after={numbers[-1]}")
        quick.has(*site.change())
        eventually(lambda: len(site.web.listener._server.server_state.connections) == 1)
        quick.has(numbers[-1] + 1, *site.change())
        late = Follower(slow)
        late.is_ended()
        assert 0 < len(late.events) < len(numbers)
        slow.socket.close()


def test_what_was_before_is_read_by_one_at_a_time_with_a_rest_behind_each_page(
    place: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, at_once, most = list[float](), 0, 0
    read = place.store.transitions_from

    def slowly(*asked: Any) -> tuple[Transition, ...]:
        nonlocal at_once, most
        begun.append(time.monotonic())
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.01)
        at_once -= 1
        return read(*asked)

    monkeypatch.setattr(live, "PAGE", 5)
    with living(place) as site:
        numbers = site.change(20, told=False)
        monkeypatch.setattr(place.store, "transitions_from", slowly)
        for listening in [site.follow("/events?after=0") for _ in range(3)]:
            listening.has(*range(1, numbers[-1] + 1))
    assert most == 1
    assert len(begun) > 12
    assert begun[-1] - begun[0] >= (len(begun) - 4) * live.REST_SECONDS / 2  # a rest, but behind the last of each


def test_a_stop_ends_every_stream_at_once(place: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "STOP_SECONDS", 60)  # for which answers under way may go on: longer than we wait
    with living(place) as site:
        followers = [site.follow() for _ in range(5)]
        stop = threading.Thread(target=site.web.listener.__exit__, args=(None, None, None))
        stop.start()
        for follower in followers:
            follower.is_ended()
        stop.join(30)
        assert not stop.is_alive()


def test_a_stream_ends_after_a_while_and_its_client_must_be_let_in_again(
    place: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LONGEST_SECONDS", 0.05)
    with living(place) as site:
        site.follow().is_ended()
