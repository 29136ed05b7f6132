"""The board, from a real repository and a real store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from reconciler.bounds import Bounds
from reconciler.declarations.catalog import Catalog
from reconciler.errors import Reason, Transient
from reconciler.model import Commit, CommitId, EnvironmentName, Health, OperatorHand, Status, Sync
from reconciler.stores import sql
from reconciler.views import board as boards
from reconciler.views.board import Board, BoardQuery, Card, board
from reconciler.views.cards import shown_upto
from reconciler.views.facts import Facts
from reconciler.views.recall import Recall
from reconciler.views.states import State, state_of
from tests.contracts.test_store_contract import STATUS
from tests.factories import NOON
from tests.views_samples import digest, sampled

PROD = EnvironmentName("shop/prod")


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    """Thirty environments of ten services, in all moods."""
    with sampled(tmp_path_factory.mktemp("thirty") / "sample", 30) as found:
        yield found


def cards(page: Board) -> dict[str, Card]:
    return {card.name: card for row in page.rows for card in row.cards}


def changed(facts: Facts, name: EnvironmentName, **fields: object) -> Facts:
    """The same, with one environment standing otherwise in memory."""
    status = replace(facts.statuses()[name], **fields)  # type: ignore[arg-type]
    return replace(facts, statuses=lambda: {**facts.statuses(), name: status})


def test_services_are_rows_and_their_stages_are_in_the_order_of_promotion(facts: Facts) -> None:
    page = board(facts, BoardQuery())
    assert [row.service for row in page.rows][:3] == ["accounts", "basket", "images"]
    assert page.stages == ("dev", "staging", "prod")
    assert {tuple(card.stage for card in row.cards) for row in page.rows} == {page.stages}
    assert (page.total, page.found, page.pages, sum(page.counts.values())) == (30, 30, 1, 30)
    assert page.counts.keys() == set(State)
    assert (page.trouble, page.as_of, page.last_event) == ("", NOON, facts.store.transitions()[-1].id)


def test_a_card_tells_what_is_live_how_it_came_there_and_what_holds_the_next(facts: Facts) -> None:
    card = cards(board(facts, BoardQuery()))[PROD]
    assert (card.state, card.sync, card.health) == (State.HELD, Sync.HELD, Health.HEALTHY)
    assert (card.run, card.sha256, card.declared, card.behind) == (106, digest("shop", 106), 107, 1)
    assert (card.approvers, card.request) == (("reviewer@example.com",), "#12")
    assert card.request_url == "https://git.example.com/acme/deploy/pull/12"
    assert card.title == "Declare every environment"  # what is held did not bring what is live
    assert card.reason is Reason.APPROVAL_MISSING
    assert card.message.startswith("nobody approved run 107")
    assert cards(board(facts, BoardQuery()))["shop/staging"].title == "Promote shop/staging to run 107"
    assert cards(board(facts, BoardQuery()))["accounts/prod"].suspended == "ops: the disk is being replaced"


def test_what_is_nowhere_behind_is_none_behind_and_what_nobody_knows_is_not_told(facts: Facts) -> None:
    status, staging = facts.statuses()[PROD], facts.statuses()[EnvironmentName("shop/staging")]
    assert cards(board(changed(facts, PROD, live=staging.live), BoardQuery()))[PROD].behind == 0
    assert status.live
    foreign = replace(status.live, sha256=digest("other", 1))
    unremembered = changed(changed(facts, PROD, live=foreign), EnvironmentName("shop/staging"), live=foreign)
    assert cards(board(unremembered, BoardQuery()))[PROD].behind == 0
    assert cards(board(changed(facts, PROD, live=foreign), BoardQuery()))[PROD].behind is None
    assert cards(board(facts, BoardQuery()))["shop/dev"].behind is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("shop/", {"shop/dev", "shop/staging", "shop/prod"}),
        ("SHOP prod", {"shop/prod"}),
        ("shop nobody", set()),
        ("#12", {"shop/prod"}),
        (f"{digest('shop', 108)[:9]}", {"shop/dev"}),
        (f"{digest('shop', 107)}", {"shop/staging", "shop/prod"}),
        (f"{digest('shop', 108)[1:9]}", set()),
        ("shop 107", {"shop/staging", "shop/prod"}),
        ("<script>", set()),
        ("reviewer shop", {"shop/staging", "shop/prod"}),
    ],
)
def test_a_search_looks_at_names_runs_digests_requests_and_approvers(facts: Facts, text: str, found: set[str]) -> None:
    page = board(facts, BoardQuery(text))
    assert cards(page).keys() == found
    assert (page.found, page.total, sum(page.counts.values())) == (len(found), 30, 30)


def test_a_search_looks_for_each_word_once_and_for_the_first_few(facts: Facts) -> None:
    some = board(facts, BoardQuery("shop"))
    assert some.found == board(facts, BoardQuery("shop " * 30)).found > 0
    few = " ".join("shop"[:n] for n in (1, 2, 3, 4)) + " ho op h hop"
    assert board(facts, BoardQuery(f"{few} nothing-is-called-so")).found == board(facts, BoardQuery(few)).found


def test_a_state_is_a_filter_and_counts_are_of_all(facts: Facts) -> None:
    page = board(facts, BoardQuery(state=State.DRIFTED))
    assert {card.state for card in cards(page).values()} == {State.DRIFTED}
    assert page.found == page.counts[State.DRIFTED] > 0
    assert sum(page.counts.values()) == 30


@pytest.mark.parametrize(("asked", "given"), [(-3, 1), (0, 1), (2, 2), (99, 2)])
def test_pages_end_where_they_end(facts: Facts, asked: int, given: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "CARDS", 20)
    page = board(facts, BoardQuery(page=asked))
    assert (page.query.page, page.pages) == (given, 2)
    assert len(cards(page)) == (18, 12)[given - 1]  # no service is divided that has room on a page


def test_a_service_that_is_larger_than_a_page_goes_on_on_the_next(tmp_path: Path) -> None:
    with sampled(tmp_path / "sample", 150, layout="folder") as facts:
        pages = [board(facts, BoardQuery(page=number)) for number in (1, 2, 3)]
    assert [len(cards(page)) for page in pages] == [60, 60, 30]
    assert len({name for page in pages for name in cards(page)}) == 150
    assert {(row.service, row.members) for page in pages for row in page.rows} == {("edge", 150)}
    assert {page.stages for page in pages} == {()}


def test_without_a_folder_a_chain_is_a_service_called_by_its_artifact(tmp_path: Path) -> None:
    with sampled(tmp_path / "sample", 3, mood="well", layout="flat") as facts:
        (row,) = board(facts, BoardQuery()).rows
    assert (row.service, [card.name for card in row.cards]) == ("shop", ["dev", "staging", "prod"])


def test_without_a_folder_all_that_declare_one_artifact_are_one_service(tmp_path: Path) -> None:
    with sampled(tmp_path / "sample", 4, layout="flat") as facts:
        (row,) = board(facts, BoardQuery()).rows
    assert (row.service, row.members) == ("shop", 4)
    assert [card.name for card in row.cards] == [f"device-0000{number}" for number in range(4)]


def test_what_somebody_wrote_is_one_bounded_line_without_what_hides(facts: Facts) -> None:
    evil = "\x1b]0;x\x07<img src=x>\u202e\n" + "z" * 10_000
    status = {"message": evil, "hint": evil, "request": evil, "approvers": (evil,) * 500}
    card = cards(board(changed(facts, PROD, **status), BoardQuery()))[PROD]
    for text in (card.message, card.hint, card.request, *card.approvers):
        assert text.isprintable()
        assert len(text) <= 1_000
        assert "<img src=x>" in text  # escaping is the page's work
    assert len(card.approvers) == 20


def test_titles_are_of_the_request_and_not_of_the_merge(facts: Facts) -> None:
    repository, tip = facts.repository, facts.catalog.tip
    assert tip
    merge = repository.commit(tip)
    assert merge.message.startswith("Merge pull request #")
    assert facts.recall.title(repository, tip).startswith("Promote ")
    brought = repository.commit(merge.parents[1])
    assert facts.recall.title(repository, brought.id) == brought.message.split("\n")[0]


def test_a_repository_that_can_not_be_read_costs_titles_and_nothing_else(facts: Facts) -> None:
    asked: list[CommitId] = []

    class Broken:
        def commit(self, commit: CommitId) -> None:
            asked.append(commit)
            raise Transient(Reason.REPOSITORY_UNAVAILABLE, "gone")

    broken = replace(facts, repository=Broken(), recall=Recall())  # type: ignore[arg-type]
    assert {card.title for card in cards(board(broken, BoardQuery())).values()} == {""}
    assert len(asked) == 3  # of thirty cards


def test_an_environment_that_no_pass_saw_yet_and_one_that_is_gone_are_both_shown(facts: Facts) -> None:
    statuses = dict(facts.statuses())
    gone = replace(statuses.pop(PROD), environment=EnvironmentName("shop/gone"), reason=Reason.ENVIRONMENT_REMOVED)
    found = cards(board(replace(facts, statuses=lambda: {**statuses, gone.environment: gone}), BoardQuery("shop")))
    assert (found["shop/prod"].state, found["shop/prod"].run) == (State.UNKNOWN, None)
    assert found["shop/prod"].message == "no pass has looked at it yet"
    assert found["shop/gone"].reason is Reason.ENVIRONMENT_REMOVED


def test_a_change_that_memory_does_not_show_yet_is_told_again(facts: Facts) -> None:
    recent, statuses = facts.store.transitions(limit=64), facts.statuses()
    assert shown_upto(recent, statuses) == recent[-1].id
    behind = recent[-3]
    late = {**statuses, behind.environment: replace(statuses[behind.environment], health=Health.PROGRESSING)}
    assert shown_upto(recent, late) == behind.id - 1
    forgotten = {name: status for name, status in statuses.items() if name != behind.environment}
    assert shown_upto(recent, forgotten) == recent[-1].id
    assert shown_upto((), statuses) == 0


def test_trouble_with_the_branch_is_told_and_what_was_remembered_is_shown(facts: Facts) -> None:
    assert board(replace(facts, trouble=lambda: "the remote is gone"), BoardQuery()).trouble == "the remote is gone"
    facts.catalog.rewritten = "the branch was rewritten"
    try:
        assert board(facts, BoardQuery()).trouble == "the branch was rewritten"
    finally:
        facts.catalog.rewritten = ""
    page = board(replace(facts, catalog=Catalog(facts.repository, Bounds())), BoardQuery())
    assert page.trouble.startswith("no look at the repository was made yet")
    assert page.total == 30


def _status(**fields: object) -> Status:
    base = replace(STATUS, drift=())
    return replace(base, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "hand", "wanted"),
    [
        ({}, OperatorHand(), State.WELL),
        ({}, OperatorHand(suspended=True), State.SUSPENDED),
        ({"reason": Reason.DRIFTED}, OperatorHand(suspended=True), State.DRIFTED),
        ({"sync": Sync.HELD, "health": Health.DEGRADED}, OperatorHand(), State.DEGRADED),
        ({"sync": Sync.HELD, "reason": Reason.FROZEN}, OperatorHand(), State.FROZEN),
        ({"sync": Sync.HELD, "reason": Reason.SOAKING}, OperatorHand(), State.HELD),
        ({"health": Health.PROGRESSING}, OperatorHand(), State.PROGRESSING),
        ({"sync": Sync.OUT_OF_SYNC}, OperatorHand(), State.PROGRESSING),
        ({"sync": Sync.UNKNOWN, "health": Health.UNKNOWN}, OperatorHand(), State.UNKNOWN),
    ],
)
def test_the_worst_that_is_to_be_said_counts(fields: dict[str, object], hand: OperatorHand, wanted: State) -> None:
    assert state_of(_status(**fields), hand) is wanted


def test_what_a_page_reads_does_not_grow_with_how_many_environments_there_are(tmp_path: Path) -> None:
    def reads(count: int) -> tuple[int, int]:
        """Statements and commits read for the second page, with nothing remembered."""
        with sampled(tmp_path / str(count), count, mood="held") as facts:
            statements: list[str] = []
            commits: list[CommitId] = []
            assert isinstance(facts.store, sql.SqlStore)
            engine = facts.store._database._engine
            assert engine
            event.listen(engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
            real = facts.repository.commit

            def counted(commit: CommitId) -> Commit:
                commits.append(commit)
                return real(commit)

            facts.repository.commit = counted  # type: ignore[method-assign]
            page = board(facts, BoardQuery(page=2))
            assert len(cards(page)) == 60
            return len(statements), len(commits)

    few, many = reads(180), reads(500)
    assert many <= few
    assert few[0] <= 2 + 2 * 60
