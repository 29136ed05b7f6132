"""Live events: each change of an environment's state, as it happens, to those who listen.

The memory has them in order and by number; what is told here is read from there, and whoever was away asks for what is
behind the last number that it got. So nothing is told twice, and nothing is left out. While nothing happens, nothing is
asked: the end of a pass wakes. What was read last is kept for all that listen, so that they cost one look together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from fastapi.sse import ServerSentEvent
from starlette.concurrency import run_in_threadpool

from reconciler import documents
from reconciler.errors import ReconcilerError
from reconciler.model import Transition
from reconciler.ports import Store
from reconciler.web.journal import Journal
from reconciler.web.refusals import Refusal, Refused

PAGE = 500
"""Events that are read at once."""
KEPT = 1_000
"""Events that are kept for those that listen; who is further behind reads the memory by itself."""
REST_SECONDS = 0.1
"""Between two looks at the memory: a commit that changes a thousand environments makes few of them."""
AGAIN_SECONDS = 2.0
"""Until the next look, when the memory could not be read."""
LONGEST_SECONDS = 900.0
"""For which one client is served; it comes again by itself, and must be let in again."""
RETRY_MILLISECONDS = 3_000
"""After which a client comes again."""


@dataclass(slots=True)
class _State:
    """What is kept while somebody listens."""

    last: int
    """The newest event that was read."""
    floor: int
    """All behind this one are among `recent`."""
    recent: deque[tuple[int, ServerSentEvent]] = field(default_factory=lambda: deque(maxlen=KEPT))


class Feed:
    """Tells what changed. Used in the listener's loop, but for `wake` and `close`.

    Args:
        store: The memory.
        most: Clients at once.
        journal: Told when the memory can't be read.
    """

    def __init__(self, store: Store, most: int, journal: Journal) -> None:
        self._store = store
        self._most = most
        self._journal = journal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._clients = 0
        self._reading = asyncio.Semaphore(1)
        self._state: _State | None = None
        self._news = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._asked = False
        self._closed = False

    # --- from any thread --------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may have changed; returns at once. Costs nothing while nobody listens."""
        self._in_loop(self._look_soon)

    def close(self) -> None:
        """End every stream."""
        self._in_loop(self._end)

    def _in_loop(self, what: object) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(what)  # type: ignore[arg-type]

    # --- in the loop ------------------------------------------------------------------------------

    async def place(self) -> AsyncIterator[None]:
        """A client's place, for as long as it listens.

        Raises:
            Refused: There is none.
        """
        if self._clients >= self._most or self._closed:
            message, hint = f"{self._most} clients listen already, and no more may", "close some, or come again later"
            raise Refused(Refusal(503, "Busy", message, hint, {"Retry-After": "10"}))
        self._clients += 1
        try:
            yield
        finally:
            self._clients -= 1
            if not self._clients:
                self._loop, self._state = None, None

    async def follow(self, after: int | None) -> AsyncIterator[ServerSentEvent]:
        """All events behind one, then each that comes; None: those that come.

        Whoever names one that there is not yet, as the memory was lost since, gets an event `reset`.
        """
        loop = asyncio.get_running_loop()
        self._loop, ends = loop, loop.time() + LONGEST_SECONDS
        state = await self._begun()
        yield ServerSentEvent(comment="reconciler", retry=RETRY_MILLISECONDS)
        cursor = state.last if after is None else after
        if cursor > state.last and cursor > await self._newest():
            yield ServerSentEvent(raw_data="{}", event="reset", id=str(state.last))
            cursor = state.last
        while not self._closed and self._state is state and loop.time() < ends:
            news, floor = self._news, state.floor
            found = await self._behind(state, cursor)
            for number, event in found:
                yield event
                cursor = number
            if not found:
                cursor = max(cursor, floor)
            if cursor >= state.last and self._state is state:
                await _set_before(news, ends)

    async def _begun(self) -> _State:
        """What is kept; begun by the first who listens."""
        while self._state is None:
            last = await self._newest()
            if self._state is None:
                self._state = _State(last, last)
        return self._state

    async def _behind(self, state: _State, cursor: int) -> list[tuple[int, ServerSentEvent]]:
        if cursor >= state.floor:
            return [one for one in state.recent if one[0] > cursor]
        found = await self._past(cursor)
        return [one for one in found if one[0] <= state.last]

    async def _past(self, cursor: int) -> list[tuple[int, ServerSentEvent]]:
        """A page of what was before. One at a time, and with a rest behind a full one, whoever wants it."""
        await self._reading.acquire()
        rest = 0.0
        try:
            found = await run_in_threadpool(lambda: _told(self._store.transitions_from(cursor, PAGE)))
            rest = REST_SECONDS if len(found) == PAGE else 0.0
        finally:
            asyncio.get_running_loop().call_later(rest, self._reading.release)
        return found

    def _look_soon(self) -> None:
        self._asked = True
        if self._looking is None and self._clients and not self._closed:
            self._looking = asyncio.get_running_loop().create_task(self._look())

    async def _look(self) -> None:
        """Read until nobody asked any more."""
        try:
            while self._asked and self._clients and not self._closed:
                self._asked = False
                await asyncio.sleep(REST_SECONDS if await self._read() else AGAIN_SECONDS)
        finally:
            self._looking = None

    async def _read(self) -> bool:
        """Take in what is new; whether the memory could be read."""
        state = self._state
        try:
            if state is not None:
                await self._take_in(state)
        except ReconcilerError as problem:
            self._journal.trouble(problem)
            self._asked = True
            return False
        return True

    async def _take_in(self, state: _State) -> None:
        page = PAGE
        while page == PAGE:
            found = await run_in_threadpool(self._store.transitions_from, state.last, PAGE)
            page = len(found)
            for one in found:
                if len(state.recent) == KEPT:
                    state.floor = state.recent[0][0]
                state.recent.append((one.id, told(one)))
                state.last = one.id
            if found:
                self._tell()
        if not page and await self._newest() < state.last:  # the memory was lost: its numbers begin anew
            self._state = None
            self._tell()

    async def _newest(self) -> int:
        found = await run_in_threadpool(self._store.transitions, None, 0, 1)
        return found[-1].id if found else 0

    def _tell(self) -> None:
        """Wake all that wait now."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _end(self) -> None:
        self._closed = True
        self._tell()


def told(transition: Transition) -> ServerSentEvent:
    """A change of state, as it is sent."""
    text = documents.line(documents.kind("Event", documents.transition(transition)))
    return ServerSentEvent(raw_data=text, event="transition", id=str(transition.id))


def _told(found: Iterable[Transition]) -> list[tuple[int, ServerSentEvent]]:
    return [(one.id, told(one)) for one in found]


async def _set_before(event: asyncio.Event, at: float) -> None:
    try:
        async with asyncio.timeout_at(at):
            await event.wait()
    except TimeoutError:
        return
