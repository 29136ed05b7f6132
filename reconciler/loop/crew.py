"""Workers in lanes: each lane has its own, so that what fails or hangs can't take those that work promptly.

One environment is worked on by one of them at a time. A pass that goes on for longer than its lane has patience for
no longer counts as one of its workers: another takes its place, up to a bound over all lanes. So what hangs holds a
thread, and never a place in a queue that others wait in.

A worker that is done takes whatever waits next, without a hand-over; and it calls the next worker when it begins
something that takes time. So a thousand looks at targets that are as they should be wake one thread, once.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.core.lanes import Lane, patience, rest, usual
from reconciler.ports import Clock

STUCK = 128
"""Slow passes whose workers are replaced; each is a thread that mostly waits."""
SLOW_PATIENCE = 10.0
"""Seconds after which the worker of a pass that was slow the last time is replaced, too."""
RETRY_SHARE = 4
"""One worker for retries to so many prompt ones."""
USUAL = 0.25
"""Seconds that a pass takes usually, as long as nobody knows."""


@dataclass(slots=True)
class _Queue:
    """One lane."""

    workers: int
    ready: threading.Condition
    waiting: deque[str] = field(default_factory=deque)
    """Keys in order; those that were moved to a better lane meanwhile are passed over."""
    threads: set[threading.Thread] = field(default_factory=set)
    idle: int = 0
    wanted: int = 0
    resting_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Turn:
    """One pass under way."""

    lane: Lane
    began: float


class Crew:
    """Gives what waits to workers; safe from several threads."""

    def __init__(self, work: Callable[[str], bool], workers: int, clock: Clock) -> None:
        """Prepare; threads are made when there is work for them.

        Args:
            work: Does one thing, never raises, and returns whether that took time. Calls `more` before it does.
            workers: In the prompt lane; those of the other lanes follow from it.
            clock: For what is slow.
        """
        self._work = work
        self._clock = clock
        self._lock = threading.Lock()
        counts = {Lane.PROMPT: workers, Lane.RETRY: max(1, workers // RETRY_SHARE), Lane.SLOW: workers}
        self._queues = {
            lane: _Queue(count, threading.Condition(self._lock), wanted=count) for lane, count in counts.items()
        }
        self._queued: dict[str, Lane] = {}
        self._running: dict[str, _Turn] = {}
        self._again: dict[str, Lane] = {}
        self._gave_way: set[str] = set()
        """What let others go first, and waits for its turn again."""
        self._usual = USUAL
        self._names = 0
        self._stopping = False

    # --- what others ask ---------------------------------------------------------------------------

    def offer(self, key: str, lane: Lane) -> None:
        """Have something done: once, however often it is offered before it begins, and in its best lane.

        What is being done right now is done once more afterwards.
        """
        with self._lock:
            self._offer(key, lane)

    def more(self, key: str) -> None:
        """What is being done for this key takes time from now on: what waits behind it needs another worker."""
        with self._lock:
            self._gave_way.discard(key)
            self._call(self._running[key].lane)

    def give_way(self, key: str) -> bool:
        """Have what is being done for this key done behind all that waits in its lane by now, and not here.

        It can't be overtaken for good: who gave way is done when its turn comes again. Nothing gives way when nobody
        waits, nor in a lane whose members fail anyway.

        Returns:
            Whether it is put off, and whoever does it is to leave it.
        """
        with self._lock:
            lane = self._running[key].lane
            if key in self._gave_way or lane is not Lane.PROMPT or not self._queues[lane].waiting:
                return False
            self._gave_way.add(key)
            self._again[key] = lane
            return True

    def staff(self) -> float | None:
        """Replace workers whose passes are slow; returns the seconds until the next may be, None: nobody waits."""
        with self._lock:
            now, spare, soon = self._clock.monotonic(), STUCK, list[float]()
            for lane, queue in self._queues.items():
                limit = self._patience(lane)
                left = [turn.began + limit - now for turn in self._running.values() if turn.lane is lane]
                late = min(spare, sum(seconds < 0 for seconds in left))
                spare -= late
                queue.wanted = queue.workers + late
                if queue.waiting:
                    self._call(lane)
                    soon.append(min([limit, *(seconds for seconds in left if seconds >= 0)]))
                elif queue.idle and len(queue.threads) > queue.wanted:
                    queue.ready.notify(len(queue.threads) - queue.wanted)
            return min(soon, default=None)

    def running(self) -> frozenset[str]:
        """What is being done."""
        with self._lock:
            return frozenset(self._running)

    def waiting(self) -> int:
        """How much waits for a worker."""
        with self._lock:
            return len(self._queued)

    def is_slow(self, key: str) -> bool:
        """Whether what is being done took longer than is usual, by now."""
        with self._lock:
            turn = self._running.get(key)
            return turn is not None and self._clock.monotonic() - turn.began > patience(self._usual)

    def stop(self, seconds: float) -> bool:
        """Let passes under way end, and begin no other; returns whether all ended in time."""
        with self._lock:
            self._stopping = True
            threads = [thread for queue in self._queues.values() for thread in queue.threads]
            for queue in self._queues.values():
                queue.ready.notify_all()
        deadline = self._clock.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    # --- with the lock held ------------------------------------------------------------------------

    def _offer(self, key: str, lane: Lane) -> None:
        if key in self._running:
            self._again[key] = min(lane, self._again.get(key, lane))
            return
        if key in self._queued and self._queued[key] <= lane:
            return
        self._queued[key] = lane
        queue = self._queues[lane]
        queue.waiting.append(key)
        if len(queue.waiting) == 1:  # else a worker is at it, or on its way
            self._call(lane)

    def _call(self, lane: Lane) -> None:
        """Have one worker more look at what waits."""
        queue = self._queues[lane]
        if not queue.waiting or self._stopping:
            return
        if queue.idle:
            queue.ready.notify()
        elif len(queue.threads) < queue.wanted:
            self._names += 1
            thread = threading.Thread(target=self._serve, args=(lane,), name=f"{lane.name.lower()}-{self._names}")
            thread.daemon = True
            queue.threads.add(thread)
            thread.start()

    def _patience(self, lane: Lane) -> float:
        return SLOW_PATIENCE if lane is Lane.SLOW else patience(self._usual)

    # --- the workers -------------------------------------------------------------------------------

    def _serve(self, lane: Lane) -> None:
        while (key := self._take(lane)) is not None:
            self._done(key, took_time=self._work(key))

    def _take(self, lane: Lane) -> str | None:
        """What is to be done next; None: this worker is not needed any more."""
        queue = self._queues[lane]
        with self._lock:
            while not self._stopping and len(queue.threads) <= queue.wanted:
                pause = self._pause(lane)
                if pause <= 0 and (key := self._next(lane)) is not None:
                    return key
                queue.idle += 1
                queue.ready.wait(pause if pause > 0 else None)
                queue.idle -= 1
            queue.threads.discard(threading.current_thread())
            return None

    def _pause(self, lane: Lane) -> float:
        """Seconds for which retries give way to what is prompt."""
        queue = self._queues[lane]
        if lane is not Lane.RETRY or not self._queues[Lane.PROMPT].waiting or not queue.waiting:
            return 0.0
        return queue.resting_until - self._clock.monotonic()

    def _next(self, lane: Lane) -> str | None:
        queue = self._queues[lane]
        while queue.waiting:
            key = queue.waiting.popleft()
            if self._queued.get(key) is lane:
                del self._queued[key]
                self._running[key] = _Turn(lane, self._clock.monotonic())
                self._give_way(lane)
                return key
        self._give_way(lane)
        return None

    def _give_way(self, lane: Lane) -> None:
        """Nothing prompt waits any more: retries need not either."""
        if lane is Lane.PROMPT and not self._queues[lane].waiting:
            self._call(Lane.RETRY)

    def _done(self, key: str, *, took_time: bool) -> None:
        with self._lock:
            now, turn = self._clock.monotonic(), self._running.pop(key)
            took = now - turn.began
            if turn.lane is Lane.RETRY:
                self._queues[Lane.RETRY].resting_until = now + rest(took)
            elif turn.lane is Lane.PROMPT and took_time:
                self._usual = usual(self._usual, took)
            again = self._again.pop(key, None)
            if again is not None:
                self._offer(key, again)
