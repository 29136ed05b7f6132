"""Workers in lanes: what fails or hangs takes no place of what does not. Counted, never timed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reconciler.core.lanes import Lane
from reconciler.loop.crew import SLOW_PATIENCE, STUCK, Crew
from tests.simulation.faults import ManualClock

SECONDS = 10.0
"""How long a test waits for what must happen."""
WORKERS = 4


class Work:
    """What workers are given: it ends at once, unless it is to hang or to be quick."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.crew = Crew(self._do, WORKERS, self.clock)
        self.done: list[str] = []
        self.begun: list[str] = []
        self.workers: dict[str, str] = {}
        self.busiest: Counter[str] = Counter()
        self.hangs: Callable[[str], bool] = lambda key: False
        self.glances: Callable[[str], bool] = lambda key: False
        self.polite: Callable[[str], bool] = lambda key: False
        self.takes = 0.0
        """Seconds that each takes."""
        self.released = threading.Event()
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()

    def _do(self, key: str) -> bool:
        lane = threading.current_thread().name.partition("-")[0]
        with self._lock:
            self.begun.append(key)
            self.workers[key] = threading.current_thread().name
            self._busy[lane] += 1
            self.busiest[lane] = max(self.busiest[lane], self._busy[lane])
        if self.glances(key) or (self.polite(key) and self.crew.give_way(key)):
            long = False
        else:
            self.crew.more(key)
            long = True
            if self.hangs(key):
                self.released.wait(10 * SECONDS)
        with self._lock:
            self.clock.seconds += self.takes
            self._busy[lane] -= 1
            self.done.append(key)
        return long

    def threads(self, lane: str = "") -> int:
        return sum(thread.name.startswith(lane) for thread in threading.enumerate() if _is_worker(thread))

    def comes(self, true: Callable[[], bool], *, alone: bool = False) -> bool:
        """Whether something comes about, with a scheduler that looks after the workers, or `alone`."""
        pause = threading.Event()
        for _ in range(int(SECONDS / 0.005)):
            if true():
                return True
            if not alone:
                self.crew.staff()
            pause.wait(0.005)
        return False


def _is_worker(thread: threading.Thread) -> bool:
    return thread.name.partition("-")[0] in {lane.name.lower() for lane in Lane}


@contextmanager
def at_work() -> Iterator[Work]:
    work = Work()
    try:
        yield work
    finally:
        work.released.set()
        assert work.crew.stop(SECONDS)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number:03}" for number in range(count)]


def test_what_hangs_in_numbers_keeps_nothing_else_waiting_and_threads_stay_bounded() -> None:
    with at_work() as work:
        work.hangs = lambda key: key.startswith("hang")
        for key in (*names("hang", STUCK), *names("well", 50)):
            work.crew.offer(key, Lane.PROMPT)

        def all_well() -> bool:
            work.clock.seconds += 1.0  # so that what is under way by now is slow
            return len(work.done) == 50

        assert work.comes(all_well)
        assert not [key for key in work.done if key.startswith("hang")]
        assert work.threads() <= WORKERS + STUCK
        work.released.set()
        assert work.comes(lambda: len(work.done) == 50 + STUCK and work.threads() <= WORKERS)


def test_above_the_bound_no_worker_is_replaced() -> None:
    with at_work() as work:
        work.hangs = lambda key: True
        for key in names("hang", STUCK + 5 * WORKERS):
            work.crew.offer(key, Lane.PROMPT)

        def full() -> bool:
            work.clock.seconds += 1.0
            return len(work.begun) >= STUCK + WORKERS

        assert work.comes(full)
        work.clock.seconds += 1.0
        assert work.crew.staff() is not None
        assert work.threads() == STUCK + WORKERS


def test_retries_have_their_own_workers_and_can_not_take_those_of_others() -> None:
    with at_work() as work:
        work.hangs = lambda key: key.startswith("fails")
        for key in names("fails", 20):
            work.crew.offer(key, Lane.RETRY)
        assert work.comes(lambda: len(work.begun) >= 1)
        for key in names("well", 50):
            work.crew.offer(key, Lane.PROMPT)
        assert work.comes(lambda: len([key for key in work.done if key.startswith("well")]) == 50)
        assert work.busiest["retry"] == max(1, WORKERS // 4)


def test_retries_rest_while_anything_prompt_waits_and_go_on_when_nothing_does() -> None:
    with at_work() as work:
        work.hangs = lambda key: key.startswith("long")
        for key in (*names("long", WORKERS), "waits"):
            work.crew.offer(key, Lane.PROMPT)
        assert work.comes(lambda: len(work.begun) == WORKERS)
        work.takes = 0.05  # and so the next one waits for half a second, which does not go by
        for key in names("fails", 3):
            work.crew.offer(key, Lane.RETRY)
        assert work.comes(lambda: "fails000" in work.done)
        assert [key for key in work.begun if key.startswith("fails")] == ["fails000"]
        work.released.set()
        assert work.comes(lambda: {"waits", *names("fails", 3)} <= {*work.done})


def test_retries_are_not_starved_by_what_is_prompt_without_an_end() -> None:
    with at_work() as work:
        work.hangs = lambda key: key.startswith("long")
        for key in (*names("long", WORKERS), "waits"):
            work.crew.offer(key, Lane.PROMPT)
        assert work.comes(lambda: len(work.begun) == WORKERS)
        for key in names("fails", 20):
            work.crew.offer(key, Lane.RETRY)

        def all_tried() -> bool:
            work.clock.seconds += 0.001  # nobody loses patience with what is prompt
            return len(set(names("fails", 20)) & set(work.done)) == 20

        assert work.comes(all_tried)
        assert "waits" not in work.done


def test_what_is_slow_and_fails_holds_up_neither_its_like_nor_others() -> None:
    with at_work() as work:
        work.hangs = lambda key: key.startswith("hang")
        for key in (*names("hang", 20), "slow"):
            work.crew.offer(key, Lane.SLOW)
        for key in names("well", 20):
            work.crew.offer(key, Lane.PROMPT)
        assert work.comes(lambda: len(work.done) == 20)
        assert "slow" not in work.done

        def out_of_patience() -> bool:
            work.clock.seconds += SLOW_PATIENCE
            return "slow" in work.done

        assert work.comes(out_of_patience)


def test_prompt_work_is_done_in_order() -> None:
    with at_work() as work:
        order = names("e", 500)
        gate = threading.Event()
        work.glances = lambda key: bool(gate.wait(SECONDS))
        for key in order:
            work.crew.offer(key, Lane.PROMPT)
        gate.set()
        assert work.comes(lambda: len(work.done) == 500)
        assert work.begun == order


def test_a_thousand_glances_wake_one_worker() -> None:
    with at_work() as work:
        gate = threading.Event()
        work.glances = lambda key: bool(gate.wait(SECONDS))
        for key in names("e", 1000):
            work.crew.offer(key, Lane.PROMPT)
        gate.set()
        assert work.comes(lambda: len(work.done) == 1000, alone=True)
        assert len(set(work.workers.values())) <= 2, "one, and another while the first was held at the gate"


def test_a_glance_that_hangs_holds_up_no_other() -> None:
    with at_work() as work:
        stuck = threading.Event()
        work.glances = lambda key: key != "hang" or bool(stuck.wait(10 * SECONDS))
        for key in ("hang", *names("e", 100)):
            work.crew.offer(key, Lane.PROMPT)
        assert work.comes(lambda: len(work.done) == 100)
        stuck.set()


def test_news_overtake_what_waits_to_be_retried() -> None:
    with at_work() as work:
        work.hangs = lambda key: key == "fails000"
        for key in names("fails", 3):
            work.crew.offer(key, Lane.RETRY)
        work.crew.offer("fails002", Lane.PROMPT)
        assert work.comes(lambda: "fails002" in work.done)
        assert work.workers["fails002"].startswith("prompt")
        work.released.set()
        assert work.comes(lambda: len(work.done) == 3 and not work.crew.waiting())
        assert Counter(work.begun) == Counter(names("fails", 3))


def test_what_is_offered_while_it_is_done_is_done_once_more() -> None:
    with at_work() as work:
        work.hangs = lambda key: len(work.begun) == 1
        work.crew.offer("prod", Lane.PROMPT)
        assert work.comes(lambda: work.begun == ["prod"])
        for lane in (Lane.SLOW, Lane.PROMPT, Lane.RETRY, Lane.PROMPT):
            work.crew.offer("prod", lane)
        assert work.crew.running() == {"prod"}
        work.released.set()
        assert work.comes(lambda: work.done == ["prod", "prod"] and not work.crew.running())
        assert work.workers["prod"].startswith("prompt")


def test_what_gives_way_is_done_behind_all_that_waits_and_then_gives_way_no_more() -> None:
    with at_work() as work:
        gate = threading.Event()
        work.hangs = lambda key: key.startswith("first") and not gate.wait(SECONDS)
        work.polite = lambda key: key.startswith("bad")
        for key in (*names("first", WORKERS), "bad1", "bad2", *names("well", 20), "bad3"):
            work.crew.offer(key, Lane.PROMPT)
        assert work.comes(lambda: len(work.begun) == WORKERS, alone=True)
        gate.set()
        assert work.comes(lambda: work.begun.count("bad1") == 2 and not work.crew.running())
        assert not set(names("well", 20)) & set(work.begun[work.begun.index("bad1", WORKERS + 1) :])
        gate.clear()
        for key in (*names("first", WORKERS), "bad1", "waits"):
            work.crew.offer(key, Lane.PROMPT)
        assert work.comes(lambda: work.begun[-WORKERS:] == names("first", WORKERS), alone=True)
        gate.set()
        assert work.comes(lambda: work.begun.count("bad1") == 4), "the next time it gives way anew"


def test_nothing_gives_way_when_nobody_waits_nor_among_what_is_retried() -> None:
    with at_work() as work:
        work.polite = lambda key: True
        work.crew.offer("alone", Lane.PROMPT)
        assert work.comes(lambda: not work.crew.running() and "alone" in work.done)
        for key in names("fails", 10):
            work.crew.offer(key, Lane.RETRY)
        assert work.comes(lambda: len(work.done) == 11)
        assert Counter(work.begun) == Counter(["alone", *names("fails", 10)])


def test_a_stop_begins_nothing_new() -> None:
    with at_work() as work:
        work.hangs = lambda key: True
        for key in names("e", 3 * WORKERS):
            work.crew.offer(key, Lane.PROMPT)
        assert work.comes(lambda: len(work.begun) == WORKERS)
        assert not work.crew.stop(0.0)
        work.released.set()
        assert work.crew.stop(SECONDS)
        assert len(work.done) == WORKERS
