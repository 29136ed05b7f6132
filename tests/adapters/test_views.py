"""One environment, comparisons, the timeline and the record, from a real repository and a real store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.core.audit import Checkpoint, Entry
from reconciler.core.policyfile import read_policy
from reconciler.errors import Reason, Transient
from reconciler.model import (
    Action,
    Attempt,
    Declared,
    Digest,
    Drift,
    DriftKind,
    EnvironmentName,
    Health,
    OperatorHand,
    Outcome,
    RunId,
    Soak,
    Sync,
)
from reconciler.stores import sql
from reconciler.views import audited, compare, figures, record
from reconciler.views.audited import outcome_of
from reconciler.views.chain import Proof
from reconciler.views.compare import comparison
from reconciler.views.environment import EnvironmentPage, environment_page
from reconciler.views.facts import Facts
from reconciler.views.figures import TimelineQuery, timeline
from reconciler.views.recall import Recall
from reconciler.views.record import RecordQuery, Records
from tests.factories import NOON
from tests.views_samples import digest, sampled

PROD, STAGING = EnvironmentName("shop/prod"), EnvironmentName("shop/staging")
EVIL = "\x1b]0;x\x07<img src=x>\u202e\n" + "z" * 20_000


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facts]:
    """Thirty environments of ten services, in all moods; nothing here writes to its store."""
    with sampled(tmp_path_factory.mktemp("thirty") / "sample", 30) as found:
        yield found


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Facts]:
    """Three environments of one service, all well, for a test that changes something."""
    with sampled(tmp_path / "sample", 3, mood="well") as found:
        yield found


def page_of(facts: Facts, name: str, before: int | None = None) -> EnvironmentPage:
    page = environment_page(facts, EnvironmentName(name), before)
    assert page is not None
    return page


def proofs(page: EnvironmentPage) -> dict[str, Proof]:
    return {link.title: link.proof for link in page.chain}


def changed(facts: Facts, name: EnvironmentName, **fields: object) -> Facts:
    """The same, with one environment standing otherwise in memory, and nothing recalled."""
    status = replace(facts.statuses()[name], **fields)  # type: ignore[arg-type]
    return replace(facts, statuses=lambda: {**facts.statuses(), name: status}, recall=Recall())


# --- one environment ----------------------------------------------------------------------------


def test_nobody_knows_an_environment_that_is_neither_declared_nor_remembered(facts: Facts) -> None:
    assert environment_page(facts, EnvironmentName("nobody")) is None
    assert environment_page(facts, EnvironmentName("../<script>")) is None


def test_the_chain_tells_each_link_with_what_was_seen_there(facts: Facts) -> None:
    page = page_of(facts, "shop/staging")
    built, declared, approved, kept, on_disk, running = page.chain
    assert [link.proof for link in page.chain[:5]] == [Proof.PROVEN] * 5
    assert {link.digest for link in (built, declared, kept, on_disk)} == {digest("shop", 107)}
    assert built.told.startswith("run 107 of acme/shop (build.yml, push on main) built it from commit ")
    assert "names run 107 and this SHA-256" in declared.told
    assert approved.told == "#12: merged, approved by reviewer@example.com"
    assert (running.proof, running.told) == (Proof.UNKNOWN, "files that nothing starts or asks for their health")
    entry = next(one for one in facts.store.audit() if one.seq == approved.entry)
    assert (entry.environment, entry.outcome, entry.sha256) == ("shop/staging", "succeeded", digest("shop", 107))


def test_what_nobody_looked_at_is_unknown_and_never_proven(facts: Facts) -> None:
    status = facts.statuses()[STAGING]
    assert status.live
    foreign = replace(status.live, run_id=RunId(9), sha256=digest("foreign", 9))
    page = page_of(changed(facts, STAGING, live=foreign), "shop/staging")
    assert proofs(page) == {
        "CI built it": Proof.UNKNOWN,
        "Declared in Git": Proof.BROKEN,  # what is live is not what was let in
        "Approved": Proof.UNKNOWN,
        "In custody": Proof.UNKNOWN,
        "On disk": Proof.PROVEN,
        "Running": Proof.UNKNOWN,
    }
    assert page.chain[1].told.endswith("lets in run 107, and run 9 is live")
    lost = page_of(changed(facts, STAGING, health=Health.UNKNOWN, sync=Sync.UNKNOWN), "shop/staging")
    assert proofs(lost)["On disk"] is Proof.UNKNOWN
    assert page_of(changed(facts, STAGING, live=None), "shop/staging").chain == ()


def test_a_repository_out_of_reach_leaves_the_declaration_unknown_and_the_page_there(facts: Facts) -> None:
    class Broken:
        def __getattr__(self, name: str) -> object:
            raise Transient(Reason.REPOSITORY_UNAVAILABLE, "gone")

    broken = replace(facts, repository=Broken(), recall=Recall())  # type: ignore[arg-type]
    assert proofs(page_of(broken, "shop/staging"))["Declared in Git"] is Proof.UNKNOWN


def test_drift_breaks_the_link_to_the_disk_and_is_told_path_by_path(facts: Facts) -> None:
    page = page_of(facts, "images/prod")
    assert proofs(page)["On disk"] is Proof.BROKEN
    assert (page.drift[0].path, page.drift[0].kind) == ("bin/app", DriftKind.CONTENT)
    many = tuple(Drift(f"\u202e{n}\n", DriftKind.FOREIGN, "", EVIL) for n in range(2_000))
    page = page_of(changed(facts, STAGING, drift=many), "shop/staging")
    assert (len(page.drift), page.more_drift) == (500, 1_500)
    assert page.drift[7].path == "\\u202e7\\n"  # nothing is left out of a path, or it passes for another
    assert page.drift[7].found.isprintable()


def test_history_goes_on_page_by_page_and_tells_where_the_time_went(own: Facts) -> None:
    for number in range(30):
        begun = own.store.begin(Attempt(PROD, Action.REPAIR, Declared(None), None, NOON, message=EVIL, output=EVIL))
        failed = replace(begun, finished=NOON, outcome=Outcome.FAILED, message=f"{number} {EVIL}")
        own.store.finish(failed, own.statuses()[PROD], None)
    first = page_of(own, "shop/prod")
    assert len(first.history) == 20
    second = page_of(own, "shop/prod", first.older)
    ids = [one.attempt.id or 0 for page in (first, second) for one in page.history]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), len(set(ids)), second.older) == (37, 37, None)
    assert [stage.name for stage in second.history[-1].stages][:4] == ["fetch", "verify", "release", "switch"]
    assert {stage.done for stage in second.history[-1].stages} == {True}
    shown = first.history[0].attempt
    assert shown.message.isprintable()
    assert len(shown.message) <= 1_000
    assert "\x1b" not in shown.output + first.output
    assert len(shown.output) <= 16 * 1024


def test_a_failed_attempt_shows_at_which_stage(facts: Facts) -> None:
    back, failed = page_of(facts, "basket/prod").history[:2]
    assert (back.attempt.automatic, failed.attempt.outcome) == (True, Outcome.FAILED)
    assert [stage.done for stage in failed.stages] == [True] * 5 + [False]


def test_moves_are_commands_that_make_sense_now(facts: Facts) -> None:
    def commands(name: str) -> list[str]:
        return [move.command for move in page_of(facts, name).moves]

    assert commands("shop/prod") == [
        *(f"reconciler rollback shop/prod --to {run}" for run in (105, 104, 103)),
        "reconciler explain ApprovalMissing",
    ]
    assert commands("basket/prod")[0] == "reconciler retry basket/prod"
    assert commands("images/prod")[0] == "reconciler diff images/prod"
    assert commands("accounts/prod")[0] == "reconciler resume accounts/prod"
    assert commands("mail/prod")[0] == "reconciler promote mail/prod --from mail/staging"
    assert commands("shop/dev")[0] == "reconciler promote shop/dev --run RUN"


def test_a_promotion_says_what_would_come_of_it(own: Facts) -> None:
    def note(facts: Facts) -> str:
        return next(move.note for move in page_of(facts, "shop/prod").moves if " from " in move.title)

    move = page_of(own, "shop/prod").moves[0]
    assert (move.title, move.url) == (
        "Promote run 107 from shop/staging",
        "https://git.example.com/acme/deploy/edit/main/environments/shop/prod.yaml",
    )
    assert "1 person has to approve it" in note(own)
    assert "needs 30m healthy in shop/staging: not before 2026-03-01 12:30:00Z" in note(own)
    soak = Soak(STAGING, RunId(107), digest("shop", 107), NOON, Digest("d" * 64), NOON, NOON, 600.0, 1)
    own.store.save_soaks({STAGING: soak})
    assert "not before 2026-03-01 12:20:00Z" in note(own)
    own.store.save_soaks({STAGING: replace(soak, sha256=digest("shop", 1))})
    assert "not before 2026-03-01 12:30:00Z" in note(own)  # of another release
    own.store.save_soaks({STAGING: replace(soak, earned=3_600.0)})
    assert "seen healthy in shop/staging for 1h, which is enough" in note(own)
    assert "shop/staging is Degraded" in note(changed(own, STAGING, health=Health.DEGRADED))
    own.store.save_hand(PROD, OperatorHand(suspended=True, reason="", by="ops"), "suspend", NOON)
    assert "nothing is done while it is suspended" in note(own)


def test_what_is_revoked_is_not_offered(own: Facts) -> None:
    view = own.catalog._view
    assert view is not None
    text = "version: 1\nrevoked:\n- {run_id: 107, reason: it loses orders}\n- {run_id: 104, reason: so does this}\n"
    own.catalog._view = replace(view, policy=read_policy("environments/policy.yaml", text.encode()))
    commands = [move.command for move in page_of(own, "shop/prod").moves]
    assert commands == [f"reconciler rollback shop/prod --to {run}" for run in (105, 103, 102)]


def test_a_rollback_says_whether_it_would_work(facts: Facts) -> None:
    notes = {move.title: move.note for move in page_of(facts, "shop/prod").moves}
    assert "every byte of it is kept here" in notes["Roll back to run 105"]
    assert "nobody looked" in notes["Roll back to run 104"]
    notes = {move.title: move.note for move in page_of(facts, "images/prod").moves}
    assert notes["Roll back to run 105"].startswith("it may not work right now: lib/1.txt is missing")


def test_what_is_before_and_behind_and_how_it_soaks(own: Facts) -> None:
    page = page_of(own, "shop/staging")
    assert (page.before, page.after, page.more_after, page.soak) == (("shop/dev",), ("shop/prod",), 0, None)
    assert (page.file, page.problems) == ("environments/shop/staging.yaml", ())
    assert page.declaration
    assert page.declaration.run_id == 107


# --- where in the chain an attempt is -----------------------------------------------------------


def test_every_attempt_is_found_in_the_chain_in_a_few_reads(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audited, "_STRETCHES", (2, 4))
    store, reads = facts.store, list[int]()
    wanted = {one.attempt: one.seq for one in store.audit() if one.kind in ("outcome", "refused")}
    attempts = store.attempts(limit=1_000)
    assert len(wanted) == len(attempts) > 100
    real = store.audit_before

    def counted(before: int | None = None, limit: int = 100) -> tuple[Entry, ...]:
        reads.append(limit)
        return real(before, limit)

    with monkeypatch.context() as patched:
        patched.setattr(store, "audit_before", counted)
        for one in (*attempts[:5], *attempts[5:-5:23], *attempts[-5:]):
            reads.clear()
            assert outcome_of(store, one) == wanted[one.id]
            assert len(reads) <= 24
        assert outcome_of(store, replace(attempts[0], id=10**9)) is None
        assert outcome_of(store, replace(attempts[0], id=None)) is None


# --- comparisons --------------------------------------------------------------------------------


def test_two_environments_are_compared_by_files_runs_and_what_was_let_in_between(facts: Facts) -> None:
    found = comparison(facts, "shop/staging", "shop/prod")
    assert found.left
    assert found.right
    assert (found.left.run, found.right.run, found.problem) == (107, 106, "")
    assert found.left.commit == digest("shop", 107)[:40]
    assert found.left.commit_url == "https://git.example.com/acme/shop/actions/runs/107"
    assert found.files
    assert [change.path for change in found.files.changed] == ["bin/app"]
    assert (found.files.unchanged, found.more_files, found.more) == (30, 0, 0)
    assert found.commits[0].title == "Promote shop/staging to run 107"
    assert found.commits[0].author == "Reviewer <reviewer@example.com>"
    other = comparison(facts, "shop/prod", "shop/staging")
    assert other.commits == found.commits  # what was let in between is the same from both ends


@pytest.mark.parametrize(
    ("text", "run"),
    [
        ("103", 103),
        ("run 103", 103),
        ("RUN #103 ", 103),
        (digest("shop", 103)[:8], 103),
        (digest("shop", 103).upper(), 103),
        (f"sha256:{digest('shop', 103)}", 103),
        ("shop/dev", 108),
    ],
)
def test_a_side_is_an_environment_a_run_or_a_digest(facts: Facts, text: str, run: int) -> None:
    for found in (comparison(facts, text, "shop/prod").left, comparison(facts, "shop/prod", text).right):
        assert found
        assert (found.run, found.sha256, found.problem) == (run, digest("shop", run), "")


@pytest.mark.parametrize(
    ("left", "right", "problem"),
    [
        ("", "", ""),
        ("shop/prod", "", "name two to compare"),
        ("nobody", "shop/prod", "nobody is no environment"),
        ("run 999", "shop/prod", "no artifact is known of run 999"),
        ("run 106", "run 107", "10 artifacts are known of run 106; name it by its digest"),
        ("ffffffff", "shop/prod", "no live artifact begins with ffffffff"),
        ("f" * 64, "shop/prod", "there is no copy of ffffffffffff in custody"),
        ("9" * 40, "shop/prod", "no live artifact begins with"),
        ("\x1b[2J" * 1_000, "shop/prod", "[2J"),
        ("run -1", "run 0", "run -1 is no environment"),
        ("٣٣٣", "shop/prod", "٣٣٣ is no environment"),
    ],
)
def test_what_can_not_be_compared_is_told(facts: Facts, left: str, right: str, problem: str) -> None:
    found = comparison(facts, left, right)
    assert found.files is None
    assert found.problem.startswith(problem)
    assert found.problem.isprintable()
    assert bool(found.problem) == bool(problem)
    assert "shop/prod" in found.choices
    assert "run 108" in found.choices
    assert len(found.choices) <= 200


def test_files_that_differ_are_bounded_and_what_hides_in_their_paths_is_spelled_out(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "FILES", 2)
    one = next(iter((facts.contents(digest("shop", 107), "outer") or {}).values()))
    contents = {digest("shop", 107): {f"\x1b{n}": one for n in range(5)}, digest("shop", 106): {}}
    found = comparison(replace(facts, contents=lambda sha256, _: contents[sha256]), "shop/staging", "shop/prod")
    assert found.files
    assert ([change.path for change in found.files.removed], found.more_files) == (["\\x1b0", "\\x1b1"], 3)


# --- the timeline -------------------------------------------------------------------------------


def test_the_timeline_of_all_counts_what_each_service_did(facts: Facts) -> None:
    found = timeline(facts, TimelineQuery())
    assert found.total.deployments == sum(one.deployments for one in found.each) == sum(d.deployed for d in found.days)
    assert (found.total.title, len(found.each), len(found.days)) == ("all environments", 10, 30)
    assert (found.cut, found.problem, found.as_of) == (False, "", NOON)
    assert found.total.lead
    assert found.total.lead.count == len(found.leads) == found.total.deployments
    assert found.total.restore
    assert found.latest[0].id == max(one.id or 0 for one in facts.store.attempts() if one.outcome != Outcome.REFUSED)
    refused = sum(day.refused for day in found.days)
    assert refused == sum(one.outcome is Outcome.REFUSED for one in facts.store.attempts(limit=999))


def test_a_scope_is_a_service_or_an_environment_of_one(facts: Facts) -> None:
    service = timeline(facts, TimelineQuery("basket", 90))
    assert [one.title for one in service.each] == ["basket/dev", "basket/prod", "basket/staging"]
    one = timeline(facts, TimelineQuery("basket/prod", 90))
    assert one.total == next(part for part in service.each if part.title == "basket/prod")
    assert one.total.restore
    assert (one.total.deployments, one.total.failure_rate, one.total.restore.median) == (7, 1 / 8, 120.0)
    assert {attempt.environment for attempt in one.latest} == {"basket/prod"}
    assert next(attempt for attempt in one.latest if attempt.action is Action.ROLLBACK).automatic


def test_a_service_without_a_folder_is_asked_for_by_its_artifact(tmp_path: Path) -> None:
    with sampled(tmp_path / "sample", 3, mood="well", layout="flat") as facts:
        found = timeline(facts, TimelineQuery("shop", 90))
    assert sorted(one.title for one in found.each) == ["dev", "prod", "staging"]


def test_a_long_past_is_read_in_pages_and_cut_where_it_is_too_long(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = timeline(facts, TimelineQuery(days=90))
    monkeypatch.setattr(figures, "_PAGE", 7)
    assert timeline(facts, TimelineQuery(days=90)) == whole
    monkeypatch.setattr(figures, "MOST", 40)
    cut = timeline(facts, TimelineQuery(days=90))
    assert (whole.cut, cut.cut) == (False, True)
    assert sum(day.deployed + day.failed + day.rolled_back + day.refused for day in cut.days) == 40
    assert timeline(facts, TimelineQuery("basket/prod", 90)).cut is False


@pytest.mark.parametrize(("scope", "days"), [("nobody", 30), ("<script>", -5), ("\x1b", 10**9), ("shop/", 0)])
def test_odd_questions_have_an_empty_answer(facts: Facts, scope: str, days: int) -> None:
    found = timeline(facts, TimelineQuery(scope, days))
    assert (found.total.deployments, found.total.lead, found.problem != "") == (0, None, True)
    assert 1 <= len(found.days) <= 366


# --- the record ---------------------------------------------------------------------------------


def test_the_record_is_shown_newest_first_and_verified_along(facts: Facts) -> None:
    records = Records(facts)
    page = records.page(RecordQuery())
    numbers = [one.seq for one in page.entries]
    assert numbers == list(range(numbers[0], numbers[0] - 50, -1))
    assert (page.verified.entries, page.verified.upto, page.verified.whole) == (numbers[0], numbers[0], True)
    seen = set(numbers)
    while page.older:
        page = records.page(RecordQuery(before=page.older))
        seen |= {one.seq for one in page.entries}
    assert seen == set(range(1, numbers[0] + 1))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (RecordQuery("HEALTHcheck"), lambda one: one.reason == "HealthCheckFailed"),
        (RecordQuery(environment="shop/prod"), lambda one: one.environment == "shop/prod"),
        (
            RecordQuery("reviewer", "shop/prod", "intent"),
            lambda one: (one.environment, one.kind) == ("shop/prod", "intent"),
        ),
        (RecordQuery(kind="refused"), lambda one: one.kind == "refused"),
        (RecordQuery("prev"), lambda one: False),  # the name of a field, and in none
        (RecordQuery("nowhere"), lambda one: False),
        (RecordQuery("%"), lambda one: False),
        (RecordQuery(environment="shop"), lambda one: False),
        (RecordQuery(kind='intent","x'), lambda one: False),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, RecordQuery) else "",
)
def test_the_record_is_searched_in_every_field(
    facts: Facts, query: RecordQuery, wanted: Callable[[Entry], bool]
) -> None:
    page = Records(facts).page(query)
    every = [one.seq for one in facts.store.audit() if wanted(one)]
    assert [one.seq for one in page.entries] == every[::-1][:50]
    assert page.searched


def test_a_search_that_goes_too_far_says_where_to_go_on(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "SEARCHED", 100)
    oldest = digest("shop", 100)
    records, query = Records(facts), RecordQuery(oldest)
    page = records.page(query)
    assert (page.entries, page.searched) == ((), False)
    found = 0
    while page.older:
        page = records.page(replace(query, before=page.older))
        found += len(page.entries)
    assert found == sum(one.sha256 == oldest for one in facts.store.audit())
    monkeypatch.setattr(record, "SEARCHED", 20_000)
    monkeypatch.setattr(record, "READ", 51)
    page = records.page(RecordQuery("prev"))  # on every line, and in no field
    assert (page.entries, page.searched, page.older is not None) == ((), False, True)


def alter(folder: Path, statement: str) -> None:
    """As somebody who may write to the file: the guards on the chain are in their hands too."""
    with closing(sqlite3.connect(folder / "sample" / "state.db")) as connection, connection:
        for verb in ("update", "delete"):
            connection.execute(f"DROP TRIGGER IF EXISTS audit_no_{verb}")
        connection.execute(statement)


def test_a_chain_that_is_long_is_verified_from_page_to_page_and_what_is_new_with_the_next(
    own: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "AT_ONCE", 20)
    records, total = Records(own), len(list(own.store.audit()))
    assert [records.verify(20).upto for _ in range(3)] == [20, 40, min(60, total)]
    assert records.verify(total).whole
    own.store.save_hand(PROD, OperatorHand(), "retry", NOON)
    assert records.verify(1).upto == total + 1


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("""UPDATE audit SET line = replace(line, '"token":7', '"token":8') WHERE seq = 30""", "entry 30 was edited"),
        ("DELETE FROM audit WHERE seq = 30", "entry 31 stands where 30 must"),
        ("UPDATE audit SET line = 'x' WHERE seq = 2", "what stands behind entry 0 can't be read"),
    ],
)
def test_what_was_altered_in_the_record_is_told(own: Facts, tmp_path: Path, statement: str, problem: str) -> None:
    alter(tmp_path, statement)
    verified = Records(own).verify()
    assert not verified.whole
    assert problem in " ".join(verified.problems)
    assert str(tmp_path) not in " ".join(verified.problems)


def test_what_was_altered_after_it_was_verified_is_told_where_it_is_shown_or_where_the_chain_ended(
    own: Facts, tmp_path: Path
) -> None:
    records = Records(own)
    assert records.page(RecordQuery()).verified.whole
    alter(tmp_path, """UPDATE audit SET line = replace(line, '"token":7', '"token":8') WHERE seq = 30""")
    assert "entry 30 was edited" in " ".join(records.page(RecordQuery()).verified.problems)
    last = records.verify().entries
    alter(tmp_path, f"DELETE FROM audit WHERE seq >= {last - 3}")
    assert "this is not the chain that was read before" in records.verify().problems[0]


def test_a_checkpoint_tells_how_far_the_chain_is_signed_unless_it_speaks_of_another(own: Facts) -> None:
    records, entries = Records(own), list(own.store.audit())
    assert (records.verify().signed, records.verify().signed_at) == (0, None)
    at = NOON - timedelta(hours=1)
    own.store.save_checkpoint(Checkpoint(10, entries[9].hash, at, "signature"))
    assert (records.verify().signed, records.verify().signed_at) == (10, at)
    own.store.save_checkpoint(Checkpoint(20, "9" * 64, at, "signature"))
    verified = records.verify()
    assert (verified.signed, verified.whole) == (0, False)
    assert "the checkpoint over 20 entries" in verified.problems[0]


def test_entries_are_shown_to_the_byte_as_they_are_in_the_chain(own: Facts) -> None:
    own.store.save_hand(PROD, OperatorHand(True, "\x1b[2J\u202eabc", "o\nps"), "suspend", NOON)
    entries = Records(own).page(RecordQuery()).entries
    assert entries == tuple(own.store.audit())[::-1][:50]  # what hides is spelled out by who shows it


def test_an_empty_record_is_whole(tmp_path: Path, facts: Facts) -> None:
    store = sql.create(f"sqlite:///{tmp_path}/state.db", facts.clock, lambda _: None)
    page = Records(replace(facts, store=store)).page(RecordQuery("x", before=-7))
    assert (page.entries, page.older, page.verified.whole, page.verified.entries) == ((), None, True, 0)
    store.close()
