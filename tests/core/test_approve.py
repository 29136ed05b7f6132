"""The judge of approvals: each attack is one history, and one line says what must come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.core.approve import Approval, Judge
from reconciler.core.declare import ApprovalSpec, Reading, read
from reconciler.core.policy import Around, Evidence, Policy, Step, Version, account
from reconciler.core.rules import NO_POLICY, PolicyReading, read_policy
from reconciler.errors import Reason
from reconciler.model import (
    Accepted,
    AcceptedPolicy,
    ChangeRequest,
    CommitId,
    Decision,
    Digest,
    EnvironmentName,
    ForgeFacts,
    GateResult,
    Person,
    Review,
    RunId,
    Verdict,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ENG = Person("eng", frozenset({"eng@example.com"}))
REV = Person("rev", frozenset({"rev@example.com", "@acme/sre"}))
BOSS = Person("boss", frozenset({"boss@example.com"}))
READER = Person("reader", frozenset({"reader@example.com", "@acme/sre"}), writer=False)
BOT = Person("bot", frozenset({"bot@example.com"}), bot=True)
ENG_OTHER_KEY = Person("gpg:1", frozenset({"Eng@Example.com"}))


def file(run: int = 1, path: str = "/srv/a", approval: str = "{required: 1}", note: str = "") -> Reading:
    text = (
        f"version: 1\nartifact: {{name: a, run_id: {run}, sha256: '{run % 10}{'0' * 63}'}}\n"
        f"target: {{type: directory, path: {path}}}\napproval: {approval}\n{note}"
    )
    reading = read("environments/a.yaml", text.encode())
    assert reading.declaration, reading.problems
    return reading


BROKEN = read("environments/a.yaml", b"version: [")


@dataclass(frozen=True)
class Commit:
    """One commit of a history: the file after it, and how it came."""

    after: Reading | None
    by: Sequence[Person] | None = None
    """Who approved the merge; None: pushed directly."""
    authors: tuple[Person, ...] = (ENG,)
    head: Reading | None = None
    """The file at the reviewed head, when it differs."""
    base: Reading | None = None
    """The file where the merged branch began, when that is to be looked at."""
    unproven: tuple[str, ...] = ()
    reviews: tuple[Review, ...] | None = None
    merged_by: Person | None = None
    retargeted: datetime | None = None


def judge(
    *commits: Commit, base: Reading | None = None, newcomer: Policy | None = None
) -> tuple[GateResult, Approval | None]:
    """Feed a history to a judge, as the pipeline does."""
    spec = newcomer or ApprovalSpec.model_validate({"required": 1})
    it = Judge(EnvironmentName("a"), spec)
    if base:
        assert base.declaration
        accepted = Accepted(
            EnvironmentName("a"),
            CommitId("0" * 40),
            base.digest,
            base.declaration.run_id,
            base.declaration.sha256,
            "#0",
            ("rev",),
            NOW,
        )
        it.begin_at(accepted, base)
    for number, commit in enumerate(commits, 1):
        step = Step(CommitId(f"{number:040x}"), commit.after)
        before = commits[number - 2].after if number > 1 else base
        it.take(step, _evidence(step, commit, before) if it.asks_for(step) else None)
    tip = commits[-1].after if commits else base
    assert tip is not None
    return it.verdict(tip, NOW)


def _evidence(step: Step, commit: Commit, before: Reading | None) -> Evidence:
    if commit.by is None:
        return Evidence(ForgeFacts(step.commit, (), "not a merge"), {})
    head = CommitId("f" * 40)
    reviews = commit.reviews
    if reviews is None:
        reviews = tuple(Review(person, head, Decision.APPROVED) for person in commit.by)
    request = ChangeRequest("#1", "bump", head, step.commit, commit.authors, commit.unproven, reviews, commit.merged_by)
    request = replace(request, retargeted=commit.retargeted)
    bases = frozenset({_digest(commit.base)}) if commit.base else frozenset()
    around = Around(_digest(commit.head or commit.after), _digest(before), _digest(commit.after), bases)
    return Evidence(ForgeFacts(step.commit, (request,)), {"#1": around})


def _digest(reading: Reading | None) -> Digest | None:
    return reading.digest if reading else None


def merged(after: Reading | None, *by: Person, **facts: object) -> Commit:
    return replace(Commit(after, by or (REV,)), **facts)  # type: ignore[arg-type]


def pushed(after: Reading | None) -> Commit:
    return Commit(after)


HEAD = CommitId("f" * 40)
LATER = NOW + timedelta(hours=1)


def said(person: Person, at: datetime | None) -> tuple[Review, ...]:
    return (Review(person, HEAD, Decision.APPROVED, at),)


NONE = "none"
TWO = "{required: 2}"

CASES: dict[str, tuple[list[Commit], Reading | None, Reason | None]] = {
    "somebody who may not write does not count": ([merged(file(2), READER)], file(1), Reason.APPROVER_NOT_ALLOWED),
    "nor when a rule names a team of theirs": (
        [merged(file(2, approval="{required: 1, from: ['@acme/sre']}"), READER)],
        file(1, approval="{required: 1, from: ['@acme/sre']}"),
        Reason.APPROVER_NOT_ALLOWED,
    ),
    "nor as the one who merged": (
        [merged(file(2), reviews=(), merged_by=READER)],
        file(1),
        Reason.APPROVER_NOT_ALLOWED,
    ),
    "a review from before the target branch was changed is stale": (
        [merged(file(2), reviews=said(REV, NOW), retargeted=LATER)],
        file(1),
        Reason.APPROVAL_STALE,
    ),
    "so is one of which nobody knows when it was": (
        [merged(file(2), reviews=said(REV, None), retargeted=LATER)],
        file(1),
        Reason.APPROVAL_STALE,
    ),
    "one from after it counts": (
        [merged(file(2), reviews=said(REV, LATER + timedelta(seconds=1)), retargeted=LATER)],
        file(1),
        None,
    ),
    "a merge approved by somebody else passes": ([merged(file(2))], file(1), None),
    "the file as it was accepted needs nothing new": ([], file(1), None),
    "a direct push holds": ([pushed(file(2))], file(1), Reason.APPROVAL_MISSING),
    "a direct push of a comment changes no field and passes": ([pushed(file(1, note="# hi\n"))], file(1), None),
    "a direct push that is reverted passes": ([pushed(file(2)), pushed(file(1))], file(1), None),
    "a direct push of the same fields in other words, then reverted in part, passes": (
        [pushed(file(2, note="# hi\n")), pushed(file(1, note="# hi\n"))],
        file(1),
        None,
    ),
    "a direct push whose every field a merge replaces passes": ([pushed(file(2)), merged(file(3))], file(1), None),
    "a merge on top of a direct push does not smuggle its other field in": (
        [pushed(file(1, path="/srv/b")), merged(file(2, path="/srv/b"))],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a merge that shows only a comment does not smuggle a pushed run in": (
        [pushed(file(2)), merged(file(2, note="# hi\n"))],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a direct push on top of an approved merge holds": (
        [merged(file(2)), pushed(file(3))],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a direct push back to the approved merge before it passes": (
        [merged(file(2)), pushed(file(3)), pushed(file(2))],
        file(1),
        None,
    ),
    "a merge that lowers the bar and bumps at once is judged by the old bar": (
        [merged(file(2, approval=NONE), ENG)],
        file(1),
        Reason.SELF_APPROVAL,
    ),
    "a direct push that lowers the bar does not help the merge after it": (
        [pushed(file(1, approval=NONE)), pushed(file(2, approval=NONE))],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a bar lowered by an approved merge is low for the next change": (
        [merged(file(1, approval=NONE)), pushed(file(2, approval=NONE))],
        file(1),
        None,
    ),
    "a bar raised by an approved merge is high for the next change": (
        [merged(file(1, approval=TWO)), merged(file(2, approval=TWO), REV)],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a bar raised by an approved merge stays high although its commit is reverted by a push": (
        [merged(file(1, approval=TWO)), pushed(file(1)), merged(file(2), REV)],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a broken file that a merge mends does not smuggle what was broken in with it": (
        [pushed(BROKEN), merged(file(2))],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a broken file that is put back as it was passes": ([pushed(BROKEN), pushed(file(1))], file(1), None),
    "a file broken and mended by approved merges passes": ([merged(BROKEN), merged(file(2))], file(1), None),
    "a pushed field stays tainted through a file broken and mended by merges": (
        [pushed(file(2)), merged(BROKEN), merged(file(2, note="# ok\n"))],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a removed file that a merge puts back was shown as a whole and passes": (
        [pushed(None), merged(file(2))],
        file(1),
        None,
    ),
    "a removed file that a push puts back differently holds": (
        [pushed(None), pushed(file(2))],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a new file that a merge brings passes": ([merged(file(1))], None, None),
    "a new file that a push brings holds": ([pushed(file(1))], None, Reason.APPROVAL_MISSING),
    "a new file can't exempt itself": ([pushed(file(1, approval=NONE))], None, Reason.APPROVAL_MISSING),
    "an environment without a gate takes a direct push": (
        [pushed(file(2, approval=NONE))],
        file(1, approval=NONE),
        None,
    ),
    "an environment without a gate gets one by a direct push, for what comes after": (
        [pushed(file(1)), pushed(file(2))],
        file(1, approval=NONE),
        Reason.APPROVAL_MISSING,
    ),
    "an author does not approve": ([merged(file(2), ENG)], file(1), Reason.SELF_APPROVAL),
    "an author with another key does not approve": ([merged(file(2), ENG_OTHER_KEY)], file(1), Reason.SELF_APPROVAL),
    "a co-author does not approve": ([merged(file(2), authors=(ENG, REV))], file(1), Reason.SELF_APPROVAL),
    "an unproven author could be anybody": ([merged(file(2), unproven=("abc",))], file(1), Reason.SELF_APPROVAL),
    "allow_self lets the only person in a team merge": (
        [merged(file(2, approval="{allow_self: true}"), ENG)],
        file(1, approval="{allow_self: true}"),
        None,
    ),
    "allow_self still wants a merge": (
        [pushed(file(2, approval="{allow_self: true}"))],
        file(1, approval="{allow_self: true}"),
        Reason.APPROVAL_MISSING,
    ),
    "a bot does not approve": ([merged(file(2), BOT)], file(1), Reason.APPROVAL_MISSING),
    "a merge with other content than its reviewed head is stale": (
        [merged(file(2), head=file(3))],
        file(1),
        Reason.APPROVAL_STALE,
    ),
    "a merge of a branch that began before the file's last change is stale": (
        [merged(file(2), base=file(2))],
        file(1),
        Reason.APPROVAL_STALE,
    ),
    "a merge of a branch that began at the file's last change passes": ([merged(file(2), base=file(1))], file(1), None),
    "an environment without a gate does not move its target without an approval": (
        [pushed(file(1, approval=NONE, path="/srv/prod"))],
        file(1, approval=NONE),
        Reason.APPROVAL_MISSING,
    ),
    "an environment without a gate moves its target with an approval": (
        [merged(file(1, approval=NONE, path="/srv/b"))],
        file(1, approval=NONE),
        None,
    ),
    "a review of an older head is stale": (
        [merged(file(2), reviews=(Review(REV, CommitId("e" * 40), Decision.APPROVED),))],
        file(1),
        Reason.APPROVAL_STALE,
    ),
    "a withdrawn approval does not count, though its giver merged": (
        [merged(file(2), reviews=(Review(REV, CommitId("f" * 40), Decision.CHANGES_REQUESTED),), merged_by=REV)],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "a dismissed approval does not count": (
        [merged(file(2), reviews=(Review(REV, CommitId("f" * 40), Decision.DISMISSED),))],
        file(1),
        Reason.APPROVAL_MISSING,
    ),
    "who merged counts as one": ([merged(file(2), reviews=(), merged_by=BOSS)], file(1), None),
    "people count once": (
        [merged(file(2, approval=TWO), REV, REV, merged_by=REV)],
        file(1, approval=TWO),
        Reason.APPROVAL_MISSING,
    ),
    "two people are two": ([merged(file(2, approval=TWO), REV, BOSS)], file(1, approval=TWO), None),
    "only those named may approve": (
        [merged(file(2, approval="{from: [boss@example.com]}"), REV)],
        file(1, approval="{from: [boss@example.com]}"),
        Reason.APPROVER_NOT_ALLOWED,
    ),
    "a member of a named team may approve": (
        [merged(file(2, approval="{from: ['@acme/sre']}"), REV)],
        file(1, approval="{from: ['@acme/sre']}"),
        None,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_history(name: str) -> None:
    commits, base, reason = CASES[name]
    result, approval = judge(*commits, base=base)
    assert result.reason == reason, result
    assert (approval is None) == (reason is not None)
    if reason is not None:
        assert result.verdict is Verdict.HELD
        assert result.message
        assert result.hint


def test_the_approval_is_bound_to_the_content_and_names_its_people() -> None:
    _, approval = judge(merged(file(2), REV, BOSS), base=file(1))
    assert approval is not None
    assert approval.declaration == file(2).digest
    assert (approval.run_id, approval.sha256) == (RunId(2), Digest("2" + "0" * 63))
    assert (approval.commit, approval.request, approval.approvers) == (
        "0" * 39 + "1",
        "#1",
        ("boss@example.com(boss)", "rev@example.com(rev)"),
    )


def test_a_tip_that_no_judged_commit_left_is_not_approved() -> None:
    it = Judge(EnvironmentName("a"), "none")
    it.take(Step(CommitId("1" * 40), file(1)), None)
    result, approval = it.verdict(file(2), NOW)
    assert (result.reason, approval) == (Reason.APPROVAL_MISSING, None)


def test_what_is_unapproved_is_named_field_by_field() -> None:
    result, _ = judge(pushed(file(2, path="/srv/b")), merged(file(3, path="/srv/b")), base=file(1))
    assert "unapproved so far: target.path" in result.evidence


def test_a_request_for_another_commit_proves_nothing() -> None:
    it = Judge(EnvironmentName("a"), ApprovalSpec.model_validate({"required": 1}))
    step = Step(CommitId("1" * 40), file(1))
    elsewhere = _evidence(Step(CommitId("2" * 40), file(1)), merged(file(1)), None)
    it.take(step, elsewhere)
    assert it.verdict(file(1), NOW)[0].reason == Reason.APPROVAL_MISSING


def test_no_facts_are_asked_for_where_nobody_must_approve() -> None:
    it = Judge(EnvironmentName("a"), "none")
    assert not it.asks_for(Step(CommitId("1" * 40), file(1, approval=NONE)))


# --- floors, a past without its text, and the policy file ---------------------------------------


def stepped(it: Judge, number: int, after: Version | None, *by: Person, floors: tuple[Policy, ...] = ()) -> Step:
    """One more change for a judge, approved by some people, or by nobody."""
    step = Step(CommitId(f"{number:040x}"), after, floors=floors)
    request = ChangeRequest(
        "#1", "x", CommitId("f" * 40), step.commit, (ENG,), (), tuple(_yes(person) for person in by), None
    )
    stood = after.digest if after else None
    evidence = Evidence(
        ForgeFacts(step.commit, (request,) if by else ()), {"#1": Around(stood, None, stood, frozenset())}
    )
    it.take(step, evidence if it.asks_for(step) else None)
    return step


def _yes(person: Person) -> Review:
    return Review(person, CommitId("f" * 40), Decision.APPROVED)


def begun(base: Reading, *, unread: bool = False) -> Judge:
    assert base.declaration
    it = Judge(EnvironmentName("a"), ApprovalSpec.model_validate({"required": 1}))
    declared = base.declaration
    accepted = Accepted(
        EnvironmentName("a"), CommitId("0" * 40), base.digest, declared.run_id, declared.sha256, "#0", ("rev",), NOW
    )
    it.begin_unread(accepted) if unread else it.begin_at(accepted, base)
    return it


TWO_PEOPLE = ApprovalSpec.model_validate({"required": 2})


@pytest.mark.parametrize(("by", "passes"), [((REV,), False), ((REV, BOSS), True)], ids=["one person", "two people"])
@pytest.mark.parametrize("approval", ["{required: 1}", "none"])
def test_a_floor_counts_whatever_the_file_asks(by: tuple[Person, ...], passes: bool, approval: str) -> None:
    it = begun(file(1, approval=approval))
    stepped(it, 1, file(2, approval=approval), *by, floors=(TWO_PEOPLE,))
    assert (it.word(file(2, approval=approval)).verdict is Verdict.PASSED) == passes


def test_a_floor_is_that_of_its_own_step() -> None:
    it = begun(file(1))
    stepped(it, 1, file(2), REV)
    stepped(it, 2, file(3), REV, BOSS, floors=(TWO_PEOPLE,))
    assert it.word(file(3)).verdict is Verdict.PASSED
    stepped(it, 3, file(4), REV, floors=(TWO_PEOPLE,))
    assert it.word(file(4)).verdict is Verdict.HELD


def test_a_floor_makes_the_judge_ask_where_the_file_asks_nobody() -> None:
    it = begun(file(1, approval="none"))
    assert not it.asks_for(Step(CommitId("1" * 40), file(2, approval="none")))
    assert it.asks_for(Step(CommitId("1" * 40), file(2, approval="none"), floors=(TWO_PEOPLE,)))


def test_all_that_is_asked_of_a_change_is_told_once_each() -> None:
    it = begun(file(1))
    one = ApprovalSpec.model_validate({"required": 1})
    step = Step(CommitId("1" * 40), file(2), floors=(TWO_PEOPLE, one, TWO_PEOPLE))
    assert it.asked_of(step) == (one, TWO_PEOPLE)


def test_of_a_past_without_its_text_only_the_very_bytes_are_let_in() -> None:
    it = begun(file(1), unread=True)
    assert it.word(file(1)).verdict is Verdict.PASSED
    assert it.word(file(2)).verdict is Verdict.HELD


def test_on_a_past_without_its_text_a_change_lets_in_what_it_changes_and_no_more() -> None:
    it = begun(file(1), unread=True)
    step = Step(CommitId("1" * 40), file(2), from_side=True)
    assert not it.asks_for(step)
    it.take(step, None)
    stepped(it, 2, file(2, path="/srv/b"), REV)
    word = it.word(file(2, path="/srv/b"))
    assert word.verdict is Verdict.HELD
    stepped(it, 3, file(1))
    assert it.word(file(1)).verdict is Verdict.PASSED


def policy(text: str = "") -> PolicyReading:
    reading = read_policy("environments/policy.yaml", f"version: 1\n{text}".encode())
    assert reading.document, reading.problems
    return reading


def judged_policy(base: PolicyReading, *changes: tuple[PolicyReading, tuple[Person, ...]]) -> GateResult:
    it = Judge(EnvironmentName("policy"), ApprovalSpec.model_validate({"required": 1}))
    it.begin_at(AcceptedPolicy(CommitId("0" * 40), base.digest, "#0", ("rev",), NOW), base)
    bars = (ApprovalSpec.model_validate({"required": 1}),)
    for number, (after, by) in enumerate(changes, 1):
        stepped(it, number, after, *by, floors=bars)
    return it.word(changes[-1][0] if changes else base)


FLOOR = policy("approval: [{required: 2}]\n")
BANNED = "revoked: [{run_id: 7, reason: bad}]\n"


@pytest.mark.parametrize(
    ("base", "changes", "passes"),
    [
        (policy(), [(policy(BANNED), (REV,))], True),
        (policy(), [(policy(BANNED), ())], False),
        (policy(), [(policy(BANNED), (ENG,))], False),
        (FLOOR, [(policy(), (REV,))], False),
        (FLOOR, [(policy(), (REV, BOSS))], True),
        (policy(BANNED), [(NO_POLICY, ())], False),
        (policy(BANNED), [(NO_POLICY, ()), (policy(BANNED), ())], True),
        (policy(BANNED), [(NO_POLICY, (REV,))], True),
        (policy(), [(FLOOR, ()), (policy("approval: [{required: 2}]\n" + BANNED), (REV,))], False),
    ],
    ids=[
        "approved",
        "pushed",
        "approved by its author",
        "the floor lowered by one person under a floor of two",
        "the floor lowered by two people under a floor of two",
        "removed by a push",
        "removed and put back by pushes",
        "removed with an approval",
        "on top of a floor that was pushed, by one person",
    ],
)
def test_a_policy_file_is_judged_like_a_declaration(
    base: PolicyReading, changes: list[tuple[PolicyReading, tuple[Person, ...]]], passes: bool
) -> None:
    assert (judged_policy(base, *changes).verdict is Verdict.PASSED) == passes


# --- a request that came as several commits -------------------------------------------------------


def rebased(*files: Reading, head: Reading | None = None, upto: int | None = None) -> GateResult:
    """A request that was rebased as one commit for each file; the history goes through the first `upto`."""
    commits = tuple(CommitId(f"{number:040x}") for number in range(1, len(files) + 1))
    request = ChangeRequest("#1", "x", HEAD, commits[-1], (ENG,), (), said(REV, NOW), None, landed=commits)
    gone = files[:upto]
    around = Around((head or files[-1]).digest, file(1).digest, gone[-1].digest, frozenset({file(1).digest}))
    it = begun(file(1))
    for commit, after in zip(commits, gone, strict=False):
        it.take(Step(commit, after), Evidence(ForgeFacts(commit, (request,)), {"#1": around}))
    return it.verdict(gone[-1], NOW)[0]


def test_all_commits_of_a_rebased_request_are_let_in_by_what_the_last_one_left() -> None:
    assert rebased(file(5, path="/srv/b"), file(5), file(2)).verdict is Verdict.PASSED


def test_a_tip_in_the_middle_of_a_rebased_request_is_not_what_was_reviewed() -> None:
    assert rebased(file(5), file(2), upto=1).reason == Reason.APPROVAL_STALE


def test_a_rebased_request_can_not_lower_its_own_bar_on_the_way() -> None:
    it = begun(file(1, approval=TWO))
    commits = CommitId("1" * 40), CommitId("2" * 40)
    request = ChangeRequest("#1", "x", HEAD, commits[-1], (ENG,), (), said(REV, NOW), None, landed=commits)
    last = file(2)
    around = Around(last.digest, file(1, approval=TWO).digest, last.digest, frozenset())
    for commit, after in zip(commits, (file(1, approval=NONE), last), strict=True):
        it.take(Step(commit, after), Evidence(ForgeFacts(commit, (request,)), {"#1": around}))
    assert it.verdict(last, NOW)[0].reason == Reason.APPROVAL_MISSING


def test_what_an_approval_rests_on_is_kept_with_immutable_ids() -> None:
    it = begun(file(1))
    stepped(it, 1, file(2), BOSS, REV)
    evidence = it.verdict(file(2), NOW)[0].evidence
    assert f"#1: head {HEAD} merged as {1:040x}" in evidence
    assert "#1: by eng@example.com(eng)" in evidence
    assert "#1: rev@example.com(rev) of @acme/sre approved ffffffffffff" in evidence


def test_an_author_whose_address_is_written_beside_a_signature_is_told_once() -> None:
    authors = (ENG, Person.claimed("ENG@example.com"), Person.claimed("guest@example.com"))
    request = ChangeRequest("#1", "x", HEAD, CommitId("1" * 40), authors, (), (), None)
    assert "#1: by eng@example.com(eng), email:guest@example.com" in account(request)


def test_two_accounts_of_one_name_are_both_told() -> None:
    authors = (ENG, Person("stranger", ENG.names))
    request = ChangeRequest("#1", "x", HEAD, CommitId("1" * 40), authors, (), (), None)
    assert "#1: by eng@example.com(eng), eng@example.com(stranger)" in account(request)
