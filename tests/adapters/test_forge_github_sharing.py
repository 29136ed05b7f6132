"""One answer for many who ask at once; never one that was found out before somebody said that something happened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from reconciler.errors import Transient
from reconciler.forges.github.answers import unavailable
from reconciler.forges.github.sharing import NOTHING_SECONDS, SHARED_SECONDS, Shared
from reconciler.model import ChangeRequest, CommitId, ForgeFacts
from tests.adapters.githubs import Later

ONE, OTHER = CommitId("1" * 40), CommitId("2" * 40)
REQUEST = ChangeRequest(
    ref="#1", title="a change", head=ONE, merged_as=ONE, authors=(), unproven_authors=(), reviews=(), merged_by=None
)


class Asked:
    """Counts what is asked; answers with a request, unless told otherwise."""

    def __init__(self) -> None:
        self.clock = Later()
        self.questions: list[tuple[CommitId, frozenset[str]]] = []
        self.answer: Callable[[CommitId], ForgeFacts] = lambda commit: ForgeFacts(commit, (REQUEST,))
        self.shared = Shared(self._ask, self.clock)

    def _ask(self, commit: CommitId, teams: Set[str]) -> ForgeFacts:
        self.questions.append((commit, frozenset(teams)))
        return self.answer(commit)

    def after(self, seconds: float) -> int:
        """How often it was asked in all, when the same question comes so many seconds later."""
        self.clock.ahead += timedelta(seconds=seconds)
        self.shared.of(ONE, frozenset())
        return len(self.questions)


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_the_same_question_is_asked_once_in_a_while(asked: Asked) -> None:
    assert [asked.after(seconds) for seconds in (0, SHARED_SECONDS / 2, SHARED_SECONDS)] == [1, 1, 2]


def test_another_commit_or_other_teams_are_another_question(asked: Asked) -> None:
    for commit, teams in ((ONE, frozenset[str]()), (OTHER, frozenset[str]()), (ONE, frozenset({"@acme/sre"}))):
        for _ in range(2):
            assert asked.shared.of(commit, teams).commit == commit
    assert len(asked.questions) == 3


def test_after_somebody_said_so_it_is_asked_anew(asked: Asked) -> None:
    assert asked.after(0) == 1
    asked.shared.forget()
    assert asked.after(0) == 2


def test_that_no_request_brought_it_is_believed_for_a_moment_only(asked: Asked) -> None:
    asked.answer = lambda commit: ForgeFacts(commit, (), "nobody asked")
    assert [asked.after(seconds) for seconds in (0, NOTHING_SECONDS / 2, NOTHING_SECONDS)] == [1, 1, 2]


def test_a_failure_is_kept_for_nobody_who_asks_later(asked: Asked) -> None:
    def fail(_: CommitId) -> ForgeFacts:
        raise unavailable("GitHub is down", "wait")

    asked.answer = fail
    for _ in range(2):
        with pytest.raises(Transient, match="GitHub is down"):
            asked.shared.of(ONE, frozenset())
    assert len(asked.questions) == 2


@pytest.mark.parametrize("fails", [False, True], ids=["answered", "failed"])
def test_whoever_asks_meanwhile_waits_for_the_one_answer(asked: Asked, fails: bool) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(commit: CommitId) -> ForgeFacts:
        begun.set()
        assert go.wait(30)
        if fails:
            raise unavailable("GitHub is down", "wait")
        return ForgeFacts(commit, (REQUEST,))

    asked.answer = slow
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(asked.shared.of, ONE, frozenset())
        assert begun.wait(30)
        others = [pool.submit(asked.shared.of, ONE, frozenset()) for _ in range(7)]
        go.set()
        found = [one.exception(30) or one.result() for one in (first, *others)]
    assert all(isinstance(one, Transient if fails else ForgeFacts) for one in found)
    if not fails:
        assert len(asked.questions) == 1, "those who came too late for the wait found the answer"


def test_what_was_asked_before_the_word_is_not_given_to_who_asks_after_it(asked: Asked) -> None:
    """The answer is under way when somebody approves: it may be from before the approval."""
    begun, go = threading.Event(), threading.Event()

    def slow(commit: CommitId) -> ForgeFacts:
        begun.set()
        assert go.wait(30)
        return ForgeFacts(commit, (REQUEST,), "from before")

    asked.answer = slow
    with ThreadPoolExecutor(1) as pool:
        before = pool.submit(asked.shared.of, ONE, frozenset())
        assert begun.wait(30)
        asked.shared.forget()
        asked.answer = lambda commit: ForgeFacts(commit, (REQUEST,), "from after")
        assert asked.shared.of(ONE, frozenset()).note == "from after"
        go.set()
        assert before.result(30).note == "from before"
    assert asked.shared.of(ONE, frozenset()).note == "from after"


def test_nothing_is_kept_of_what_nobody_asks_any_more(asked: Asked) -> None:
    for number in range(100):
        asked.shared.of(CommitId(f"{number:040}"), frozenset())
        asked.clock.ahead += timedelta(seconds=1)
    assert asked_for(asked.shared) <= SHARED_SECONDS + 1


def asked_for(shared: Shared) -> int:
    return len(shared._asked)
