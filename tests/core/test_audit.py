"""The audit chain against whoever edits an export: each attack on each entry of a long one."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import pytest

from reconciler.core import audit
from reconciler.core.audit import START, Checkpoint, Entry, Fact, Kind, Malformed, Signature, Signatures
from reconciler.core.audit import chain as judging
from reconciler.core.audit.entry import digest
from reconciler.errors import Reason
from reconciler.model import (
    AcceptedPolicy,
    Action,
    Attempt,
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Gate,
    GateResult,
    OperatorHand,
    Outcome,
    Release,
    Rewrite,
    RunId,
    Verdict,
)
from tests.factories import NOON

PROD = EnvironmentName("shop/prod")
GATES = (
    GateResult(Gate.SCHEMA, Verdict.PASSED, evidence=("environments/shop/prod.yaml",)),
    GateResult(Gate.APPROVAL, Verdict.HELD, Reason.APPROVAL_MISSING, "no one approved", ("#12",), "approve it"),
)
ATTEMPT = Attempt(
    environment=PROD,
    action=Action.DEPLOY,
    declared=Declared(CommitId("c" * 40), RunId(17243512345), Digest("a" * 64)),
    before=Release("101-bbbbbbbbbbbb", RunId(101), Digest("b" * 64)),
    started=NOON,
    id=1,
    request="#12",
    approvers=("7", "9"),
    gates=GATES,
    token=3,
)
POLICY = AcceptedPolicy(CommitId("c" * 40), Digest("d" * 64), "#13", ("7",), NOON)
REWRITE = Rewrite(CommitId("b" * 40), CommitId("a" * 40), "ops", "a secret was removed", NOON)
Log = list[bytes]


def intent(number: int, gates: tuple[GateResult, ...] = GATES) -> Fact:
    return audit.attempted(Kind.INTENT, replace(ATTEMPT, id=number, gates=gates), NOON + timedelta(minutes=number))


def outcome(number: int) -> Fact:
    ended = replace(ATTEMPT, id=number, outcome=Outcome.SUCCEEDED, gates=())
    return audit.attempted(Kind.OUTCOME, ended, NOON + timedelta(minutes=number, seconds=9))


def refused(number: int) -> Fact:
    ended = replace(
        ATTEMPT, id=number, gates=GATES[1:], outcome=Outcome.REFUSED, reason=Reason.APPROVAL_MISSING, message="no one"
    )
    return audit.attempted(Kind.REFUSED, ended, NOON + timedelta(minutes=number, seconds=20))


def operator(minute: int) -> Fact:
    hand = OperatorHand(suspended=True, reason="maintenance", by="ops")
    return audit.operated(PROD, hand, "suspend", NOON + timedelta(minutes=minute, seconds=30))


def chain(*facts: Fact) -> list[Entry]:
    entries: list[Entry] = []
    for fact in facts:
        entries.append(audit.seal(fact, entries[-1].head if entries else START))
    return entries


def export(entries: list[Entry]) -> Log:
    head = entries[-1].hash if entries else START.hash
    return [*map(audit.line, entries), audit.trailer(len(entries), head)]


def long_log() -> Log:
    facts: list[Fact] = []
    for number in range(1, 101, 2):
        facts += [intent(number, ()), outcome(number), refused(number + 1), operator(number + 1)]
    return export(chain(*facts))


LOG = long_log()
FOREIGN = audit.line(audit.seal(operator(5), START))


def test_an_untouched_log_of_200_entries_is_intact() -> None:
    found = audit.verify(LOG)
    assert (found.entries, found.problems, found.notes) == (200, (), ())
    assert found.head == audit.parse(LOG[199]).hash
    assert found.intact


def test_an_export_without_entries_is_intact() -> None:
    assert audit.verify(export([])) == audit.Verification(0, START.hash, (), ())


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def inserted(log: Log, i: int) -> Log:
    before = audit.parse(log[i - 1]).head if i else START
    return [*log[:i], audit.line(audit.seal(operator(1), before)), *log[i:]]


def forged(log: Log, i: int) -> Log:
    """Edited, and its own hash computed anew."""
    entry = audit.parse(log[i])
    head = audit.Head(entry.seq - 1, entry.prev)
    values = {name: getattr(entry, name) for name in Fact.__dataclass_fields__}
    other = audit.seal(Fact(**values | {"environment": EnvironmentName("other")}), head)
    return [*log[:i], audit.line(other), *log[i + 1 :]]


ATTACKS: dict[str, Callable[[Log, int], Log]] = {
    "deleting it": lambda log, i: log[:i] + log[i + 1 :],
    "editing one bit of it": lambda log, i: [*log[:i], flipped(log[i], i * 7 % len(log[i]), i % 7), *log[i + 1 :]],
    "editing it and computing its own hash anew": forged,
    "duplicating it": lambda log, i: [*log[: i + 1], *log[i:]],
    "swapping it with the next line": lambda log, i: [*log[:i], log[i + 1], log[i], *log[i + 2 :]],
    "inserting a well-made entry before it": inserted,
    "cutting it and all behind it": lambda log, i: log[:i],
    "cutting it and all behind it but the end line": lambda log, i: [*log[:i], log[-1]],
}
VARIANTS: dict[str, Callable[[Log, int], Log]] = {
    "duplicating it at the end": lambda log, i: [*log[:-1], log[i], log[-1]],
    "moving it to the front": lambda log, i: [log[i], *log[:i], *log[i + 1 :]] if i else [log[1], log[0], *log[2:]],
    "inserting an entry of another chain before it": lambda log, i: [*log[:i], FOREIGN, *log[i:]],
    "cutting the file in the middle of it": lambda log, i: [*log[:i], log[i][: len(log[i]) // 2]],
    "cutting off its newline and all behind it": lambda log, i: [*log[:i], log[i][:-1]],
    "joining it with the next line": lambda log, i: [*log[:i], log[i][:-1] + log[i + 1], *log[i + 2 :]],
    "an empty line before it": lambda log, i: [*log[:i], b"\n", *log[i:]],
}


@pytest.fixture
def each_line_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 lines an attack leaves nearly all as they are: the same bytes are the same entry, with the same hash."""
    read = lru_cache(maxsize=1_000)(audit.parse)
    monkeypatch.setattr(judging, "of_object", lambda _, data: read(data))
    monkeypatch.setattr(judging, "digest", lru_cache(maxsize=1_000)(digest))


@pytest.mark.usefixtures("each_line_read_once")
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_on_each_of_200_entries_what_shows_is(attack: Callable[[Log, int], Log]) -> None:
    for i in range(200):
        assert not audit.verify(attack(LOG, i)).intact, i


@pytest.mark.parametrize("attack", VARIANTS.values(), ids=VARIANTS)
def test_on_each_tenth_entry_what_shows_is(attack: Callable[[Log, int], Log]) -> None:
    for i in (*range(0, 200, 10), 199):
        assert not audit.verify(attack(LOG, i)).intact, i


@pytest.mark.parametrize("attack", ["deleting it", "editing one bit of it", "an empty line before it"])
def test_the_first_problem_points_at_the_place(attack: str) -> None:
    for i in (0, 1, 77, 198):
        assert audit.verify((ATTACKS | VARIANTS)[attack](LOG, i)).problems[0].line == i + 1


@pytest.mark.parametrize("place", range(5), ids=["intent", "outcome", "refused", "operator", "the end line"])
def test_every_single_byte_counts_in(place: int) -> None:
    log = export(chain(intent(1), outcome(1), refused(2), operator(2)))
    for at in range(len(log[place])):
        edited = [*log[:place], flipped(log[place], at), *log[place + 1 :]]
        assert not audit.verify(edited).intact, log[place][:at]


def test_one_edit_does_not_drown_the_report_in_problems_of_the_lines_behind() -> None:
    edited = [*LOG[:51], LOG[51].replace(b"maintenance", b"maintenancE"), *LOG[52:]]
    assert [problem.line for problem in audit.verify(edited).problems] == [52]


def test_behind_a_line_that_is_garbage_the_chain_is_judged_on() -> None:
    found = audit.verify([*LOG[:50], b"garbage\n", *LOG[51:70], *LOG[71:]])
    assert [problem.line for problem in found.problems] == [51, 71, 71, 200]


def test_a_number_that_was_left_out_shows_in_a_chain_whose_hashes_agree() -> None:
    first = audit.seal(operator(1), START)
    second = audit.seal(operator(2), audit.Head(5, first.hash))
    (problem,) = audit.verify(export([first, second])).problems
    assert problem == audit.Problem(2, "entry 6 stands where 2 must: removed, added, or moved")


def test_whoever_rewrites_the_whole_file_is_found_only_by_a_head_kept_elsewhere() -> None:
    honest, rewritten = export(chain(intent(1), outcome(1))), export(chain(operator(1)))
    assert audit.verify(rewritten).intact
    assert audit.verify(rewritten).head != audit.verify(honest).head


# --- the end line -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "what"),
    [
        pytest.param([], "no end line", id="an empty file may be a cut one"),
        pytest.param(LOG[:-1], "no end line", id="an export without its end line may be a cut one"),
        pytest.param([*LOG[:-1], audit.trailer(199, audit.parse(LOG[199]).hash)], "199 entries", id="a wrong count"),
        pytest.param([*LOG[:-1], audit.trailer(200, "f" * 64)], "ffffffffffff", id="a wrong head"),
        pytest.param([*LOG, LOG[-1]], "behind the end", id="two end lines"),
        pytest.param([*LOG, FOREIGN], "behind the end", id="an entry behind the end"),
        pytest.param([*LOG[:-1], LOG[-1][:-1]], "no newline", id="an end line that is cut by one byte"),
        pytest.param([*LOG[:-1], LOG[-1].replace(b",", b", ", 1)], "speaks of", id="an end line spelled otherwise"),
    ],
)
def test_the_end_of_an_export(log: Log, what: str) -> None:
    assert what in " / ".join(problem.what for problem in audit.verify(log).problems)


# --- intents and outcomes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        pytest.param([outcome(1)], "an outcome without an intent", id="an outcome that nobody intended"),
        pytest.param([intent(1), outcome(1), outcome(1)], "a second outcome", id="two outcomes of one intent"),
        pytest.param([intent(1), intent(1)], "begins again", id="one attempt intended twice"),
        pytest.param([intent(2), intent(1)], "after a later one", id="attempts that begin in the wrong order"),
        pytest.param([refused(1), outcome(1)], "a second outcome", id="an outcome of a refused attempt"),
        pytest.param([intent(1), refused(1)], "begins again", id="an attempt intended and refused"),
        pytest.param([replace(intent(1), attempt=None)], "no attempt", id="an intent without an attempt"),
        pytest.param(
            [intent(1), replace(outcome(1), environment=EnvironmentName("dev"))],
            "began in 'shop/prod' and ends in 'dev'",
            id="an outcome in another environment",
        ),
    ],
)
def test_well_sealed_entries_that_tell_an_impossible_story(facts: list[Fact], what: str) -> None:
    assert what in " / ".join(problem.what for problem in audit.verify(export(chain(*facts))).problems)


def test_attempts_of_several_environments_may_overlap() -> None:
    assert audit.verify(export(chain(intent(1), intent(2), outcome(1), refused(3), outcome(2)))).intact


def test_an_open_intent_at_the_end_is_a_note() -> None:
    found = audit.verify(export(chain(intent(1))))
    assert found.intact
    assert "attempt 1 of 'shop/prod' (entry 1) has no outcome yet" in found.notes[0].what


def test_a_clock_that_went_back_is_a_note() -> None:
    found = audit.verify(export(chain(operator(61), operator(1))))
    assert found.intact
    assert [note.what for note in found.notes] == [
        "entry 2 was written 3600 s before the one before it, by its clock",
    ]


def test_a_clock_that_was_set_right_by_less_than_a_second_is_none() -> None:
    entries = [replace(operator(1), at=operator(1).at + timedelta(milliseconds=1)), operator(1)]
    assert audit.verify(export(chain(*entries))).notes == ()


# --- garbage ------------------------------------------------------------------------------------


def test_a_file_of_garbage_gives_a_bounded_report() -> None:
    found = audit.verify(b"garbage\n" for _ in range(5_000))
    assert len(found.problems) == 1_001
    assert found.problems[-1].what == "and more, not listed"


def test_random_damage_never_breaks_the_judge() -> None:
    dice = random.Random(7)
    small = export(chain(intent(1), outcome(1)))
    for _ in range(2_000):
        line = bytearray(small[dice.randrange(3)])
        for _ in range(dice.randrange(1, 6)):
            line[dice.randrange(len(line))] = dice.randrange(256)
        assert not audit.verify([small[0], bytes(line), *small[1:]]).intact


def test_a_line_longer_than_any_entry_is_never_held_whole() -> None:
    file = io.BytesIO(b"x" * (3 * audit.MAX_LINE) + b"\n" + LOG[-1])
    pieces = list(audit.lines(file))
    assert max(map(len, pieces)) <= audit.MAX_LINE + 1
    assert not audit.verify(pieces).intact


def test_an_export_read_from_a_file_is_the_export() -> None:
    assert list(audit.lines(io.BytesIO(b"".join(LOG)))) == LOG


def test_the_program_in_the_auditors_guide_agrees(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    program = guide.split("```python\n")[1].split("```")[0]
    file = tmp_path / "audit.jsonl"

    def run(log: Log) -> int:
        file.write_bytes(b"".join(log))
        return subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, timeout=60).returncode

    assert [run(LOG), run(LOG[:-1]), run(ATTACKS["editing one bit of it"](LOG, 50))] == [0, 1, 1]


# --- the form -----------------------------------------------------------------------------------

LINE = audit.line(chain(intent(1))[0])


def with_field(**changes: object) -> bytes:
    document = json.loads(LINE) | changes
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_the_format_of_a_line_is_a_contract() -> None:
    entry = audit.seal(operator(1), START)
    assert audit.line(entry) == (
        b'{"action":"suspend","approvers":[],"at":"2026-03-01T12:01:30.000000Z","attempt":null,"before":null,'
        b'"by":"ops","commit":null,"environment":"shop/prod","gates":[],'
        b'"hash":"%(hash)s","kind":"operator","message":"maintenance","outcome":null,'
        b'"prev":"0000000000000000000000000000000000000000000000000000000000000000","reason":null,"request":"",'
        b'"run_id":null,"seq":1,"sha256":null,"token":0,"v":1}\n' % {b"hash": entry.hash.encode()}
    )
    assert entry.hash == "eff8643354240fb879f48f39a5cc444e0af7cc27373dc4ef2d7d332564fc572d"


def test_a_plan_is_on_the_line_when_there_was_one_and_no_line_without_one_changes() -> None:
    bare, planned = chain(intent(1))[0], audit.seal(replace(intent(1), plan="d" * 64), START)
    assert b"plan" not in audit.line(bare)
    assert b',"plan":"%(plan)s","prev":' % {b"plan": b"d" * 64} in audit.line(planned)
    assert planned.hash != bare.hash
    assert audit.attempted(Kind.INTENT, replace(ATTEMPT, plan="e" * 64), NOON).plan == "e" * 64


def test_a_policy_that_came_in_force_is_an_entry_of_no_attempt() -> None:
    fact = audit.policy_accepted(POLICY, NOON)
    assert (fact.kind, fact.environment, fact.action, fact.attempt) == ("policy", "policy", "accept", None)
    assert (fact.commit, fact.sha256, fact.request, fact.approvers) == ("c" * 40, "d" * 64, "#13", ("7",))
    assert audit.verify(export(chain(intent(1), fact, outcome(1)))).intact


def test_an_accepted_rewrite_says_who_took_which_tip_instead_of_which_and_why() -> None:
    fact = audit.rewrite_accepted(REWRITE)
    assert (fact.kind, fact.environment, fact.action, fact.by) == ("operator", "", "accept-rewrite", "ops")
    assert (fact.commit, fact.message) == ("b" * 40, f"instead of {'a' * 40}: a secret was removed")
    assert audit.verify(export(chain(fact))).intact


def test_a_line_comes_back_as_the_entry_it_was_made_of() -> None:
    rules = (audit.policy_accepted(POLICY, NOON), audit.rewrite_accepted(REWRITE))
    planned = replace(intent(3), plan="d" * 64)
    for entry in chain(intent(1), outcome(1), refused(2), operator(2), planned, *rules):
        assert audit.parse(audit.line(entry)) == entry


@pytest.mark.parametrize(
    ("line", "what"),
    [
        pytest.param(b"\n", "not JSON", id="nothing"),
        pytest.param(b"[]\n", "not a JSON object", id="a list"),
        pytest.param(b"[" * 100_000 + b"\n", "not JSON", id="brackets without end"),
        pytest.param(LINE[:-1], "no newline", id="no newline"),
        pytest.param(LINE[:-1] + b"\r\n", "canonical", id="a carriage return"),
        pytest.param(b" " + LINE, "canonical", id="a space before"),
        pytest.param(b"\xef\xbb\xbf" + LINE, "not JSON in ASCII", id="a byte order mark"),
        pytest.param(LINE.replace(b"#12", "№12".encode()), "not JSON in ASCII", id="UTF-8 where an escape must be"),
        pytest.param(LINE.replace(b"#12", b"\\u002312"), "canonical", id="an escape where none is needed"),
        pytest.param(LINE.replace(b"#12", b"\\ud800"), "request: something else", id="half a character"),
        pytest.param(LINE.replace(b'"seq":1', b'"seq":1,"seq":1'), "stands twice", id="a duplicate key"),
        pytest.param(LINE.replace(b'"seq":1', b'"seq":1.0'), "seq", id="a fraction"),
        pytest.param(LINE.replace(b'"seq":1', b'"seq":true'), "seq", id="true where 1 must be"),
        pytest.param(LINE.replace(b'"seq":1', b'"seq":' + b"9" * 5_000), "not JSON", id="an endless number"),
        pytest.param(LINE.replace(b'"token":3', b'"token":NaN'), "token", id="not a number"),
        pytest.param(with_field(plan=""), "plan: something else", id="a plan that is none"),
        pytest.param(with_field(seq=-1), "seq", id="a negative number"),
        pytest.param(with_field(run_id=2**63), "run_id", id="a number above 63 bits"),
        pytest.param(with_field(v=2), "version", id="another version"),
        pytest.param(with_field(v=True), "v: something else", id="true as the version"),
        pytest.param(with_field(extra=1), "unknown fields: 'extra'", id="an unknown field"),
        pytest.param(with_field(**{"\x1b[2J": 1}), r"'\x1b[2J'", id="an unknown field that would clear a terminal"),
        pytest.param(LINE.replace(b'"token":3,', b""), "fields: 'token'", id="a missing field"),
        pytest.param(with_field(kind="guess"), "unknown kind", id="an unknown kind"),
        pytest.param(with_field(at="2026-03-01T12:01:00Z"), "at: something", id="a time without its fraction"),
        pytest.param(with_field(at="2026-02-30T12:01:00.000000Z"), "no calendar", id="a day that never was"),
        pytest.param(with_field(sha256="A" * 64), "sha256", id="an upper-case digest"),
        pytest.param(with_field(prev="0" * 63), "prev", id="a short hash"),
        pytest.param(with_field(approvers="7"), "a list must be", id="a text where a list must be"),
        pytest.param(with_field(gates=[1]), "an object must be", id="a number where a gate must be"),
        pytest.param(with_field(message="x" * audit.MAX_LINE), "longer than", id="a line that is too long"),
    ],
)
def test_a_line_is_refused_for(line: bytes, what: str) -> None:
    with pytest.raises(Malformed) as refused_for:
        audit.parse(line)
    assert what in str(refused_for.value)


# --- what comes from outside --------------------------------------------------------------------


def test_hostile_texts_stay_one_ascii_line() -> None:
    message = "a\nb\x1b[31m \u2028 \udcff \U0001f600 \x00"
    entry = audit.seal(replace(intent(1), message=""), START)
    hostile = audit.seal(audit.attempted(Kind.INTENT, replace(ATTEMPT, message=message), NOON), START)
    data = audit.line(hostile)
    assert data.isascii()
    assert data.count(b"\n") == 1
    assert audit.parse(data) == hostile
    assert hostile.message == message.replace("\udcff", "\\udcff")
    assert hostile.hash != entry.hash


def test_no_attempt_is_so_large_that_it_can_not_be_recorded() -> None:
    endless = GateResult(Gate.PROVENANCE, Verdict.HELD, None, "\U0001f600" * 5_000, ("\U0001f600" * 5_000,) * 500)
    attempt = replace(
        ATTEMPT,
        request="r" * 10_000,
        message="\U0001f600" * 10_000,
        approvers=tuple(f"{'a' * 300}{n}" for n in range(1_000)),
        gates=(endless,) * len(Gate),
    )
    entry = audit.seal(audit.attempted(Kind.INTENT, attempt, NOON), START)
    assert len(audit.line(entry)) <= audit.MAX_LINE
    assert audit.verify([audit.line(entry), audit.trailer(1, entry.hash)]).intact
    assert entry.approvers[-1] == "... and 900 more"
    assert entry.gates[0].evidence == ("... left out: too long",)
    assert entry.message.endswith("...")


# --- checkpoints ----------------------------------------------------------------------------------

THREE = chain(intent(1), outcome(1), refused(2))


def checkpoint(entry: Entry, signature: str = "good") -> Checkpoint:
    return Checkpoint(entry.seq, entry.hash, NOON, signature)


def trusting(found: Checkpoint) -> Signature:
    """Stands for the tool that checks signatures: `good` is one."""
    return Signature("SHA256:k", "" if found.signature == "good" else "is not signed by anybody")


def signed_log(*checkpoints: Checkpoint, last: bool = True) -> Log:
    log = export(THREE)
    for made in sorted(checkpoints, key=lambda made: -made.entries):
        log.insert(made.entries, audit.checkpoint_line(made))
    return [*log, audit.checkpoint_line(checkpoint(THREE[2]))] if last else log


def what(log: Log, signatures: Signatures | None = trusting, anchors: tuple[Checkpoint, ...] = ()) -> str:
    return " / ".join(problem.what for problem in audit.verify(log, signatures, anchors).problems)


def test_what_is_signed_is_a_contract() -> None:
    assert audit.NAMESPACE == "reconciler-audit@v1"
    assert audit.statement(3, "a" * 64, NOON) == (
        b'{"at":"2026-03-01T12:00:00.000000Z","domain":"reconciler audit checkpoint","entries":3,'
        b'"head":"%(head)s","v":1}\n' % {b"head": b"a" * 64}
    )
    assert audit.checkpoint_line(Checkpoint(3, "a" * 64, NOON, "x\n")) == (
        b'{"at":"2026-03-01T12:00:00.000000Z","entries":3,"head":"%(head)s","kind":"checkpoint",'
        b'"signature":"x\\n","v":1}\n' % {b"head": b"a" * 64}
    )


def test_a_signed_export_says_up_to_where_by_which_key_and_when() -> None:
    found = audit.verify(signed_log(checkpoint(THREE[0])), trusting, (checkpoint(THREE[1]),))
    assert (found.problems, found.entries, found.checkpoints) == ((), 3, 2)
    assert found.signed == audit.Signed(3, NOON, "SHA256:k")
    assert found.anchored == checkpoint(THREE[1])


def test_without_a_key_checkpoints_are_held_against_the_chain_and_nothing_is_called_signed() -> None:
    found = audit.verify(signed_log(checkpoint(THREE[0])))
    assert (found.intact, found.checkpoints, found.signed) == (True, 2, None)
    assert not audit.verify(signed_log(replace(checkpoint(THREE[0]), head="f" * 64))).intact


@pytest.mark.parametrize(
    ("log", "found"),
    [
        pytest.param(export(THREE), "not signed: no good signature", id="no checkpoint"),
        pytest.param(
            signed_log(checkpoint(THREE[1]), last=False), "signed up to entry 2 of 3", id="a checkpoint before the end"
        ),
        pytest.param(signed_log(checkpoint(THREE[0], "bad")), "over 1 entry is not signed by anybody", id="one is bad"),
        pytest.param(
            [*export(THREE), audit.checkpoint_line(checkpoint(THREE[1]))], "speaks of 2 entries", id="one out of place"
        ),
        pytest.param(
            [*signed_log()[:-1], audit.checkpoint_line(replace(checkpoint(THREE[2]), head="f" * 64))],
            "speaks of 3 entries up to ffffffffffff",
            id="one of another chain",
        ),
        pytest.param([*signed_log(), signed_log()[-1]], "a line behind the end / a checkpoint that", id="one twice"),
        pytest.param([*signed_log(), audit.line(THREE[2])], "a line behind the end", id="an entry behind the last one"),
        pytest.param(
            [*signed_log()[:-1], signed_log()[-1].replace(b":", b": ", 1)], "canonical", id="another spelling"
        ),
        pytest.param([*signed_log()[:-1], signed_log()[-1].replace(b'"v":1', b'"v":2')], "version 1", id="version 2"),
    ],
)
def test_with_a_key_an_export_is_refused_for(log: Log, found: str) -> None:
    for part in found.split(" / "):
        assert part in what(log)


def test_an_export_without_entries_can_be_signed() -> None:
    log = [*export([]), audit.checkpoint_line(Checkpoint(0, START.hash, NOON, "good"))]
    assert audit.verify(log, trusting).signed == audit.Signed(0, NOON, "SHA256:k")
    assert "not signed" in what(export([]))


@pytest.mark.parametrize(
    ("anchors", "found"),
    [
        pytest.param((Checkpoint(5, "f" * 64, NOON, "good"),), "the anchor knows of 5 entries, here are 3", id="cut"),
        pytest.param(
            (checkpoint(THREE[2]), replace(checkpoint(THREE[1]), head="f" * 64)), "entry 2 is not the one", id="another"
        ),
        pytest.param(
            (checkpoint(THREE[1]), replace(checkpoint(THREE[1]), head="f" * 64)), "entry 2 is not the one", id="two"
        ),
        pytest.param((checkpoint(THREE[2], "bad"),), "the anchored checkpoint over 3 entries is not", id="not signed"),
    ],
)
def test_an_anchor_that_knows_better(anchors: tuple[Checkpoint, ...], found: str) -> None:
    assert found in what(signed_log(), anchors=anchors)


def test_an_anchored_entry_that_was_dropped_is_named() -> None:
    assert "entry 2, which was anchored, is missing" in what(
        [export(THREE)[0], *export(THREE)[2:]], None, (checkpoint(THREE[1]),)
    )
