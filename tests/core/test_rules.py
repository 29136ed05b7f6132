"""The policy file: what it may say, how a mistake is told, and what counts when two of them differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.core.declare import ApprovalSpec
from reconciler.core.policyfile import MAX_FREEZES, FloorSpec, PolicyDocument, policy_json_schema, read_policy
from reconciler.core.rules import Rules
from reconciler.model import Digest, EnvironmentName, RunId

SHA = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
DIGITS = "0123456789" * 6 + "0123"
WINDOW = "reason: x, from: 2026-01-01, to: 2026-01-02"
GOOD = f"""\
version: 1
approval:
  - {{required: 2, from: [a@example.com, b@example.com], environments: [prod, shop/*]}}
freeze:
  - reason: the holidays
    environments: ["*"]
    time_zone: Europe/Berlin
    from: 2026-12-24
    to: 2027-01-02T08:00:30
  - reason: no weekends
    cron: 0 18 * * FRI
    duration: 62h
revoked:
  - sha256: {DIGITS}
    reason: logs passwords
  - run_id: 17
    reason: built on a tainted runner
"""


def policy(text: str) -> PolicyDocument:
    reading = read_policy("environments/policy.yaml", text.encode())
    assert reading.document is not None, reading.problems
    return reading.document


def problems(text: str) -> list[str]:
    reading = read_policy("environments/policy.yaml", text.encode())
    assert (reading.document is None) == bool(reading.problems)
    return [str(problem).removeprefix("environments/policy.yaml:") for problem in reading.problems]


def test_a_policy_says_who_what_and_when() -> None:
    document = policy(GOOD)
    (bar,) = document.bars
    assert (bar.required, bar.from_, bar.allow_self) == (2, ("a@example.com", "b@example.com"), False)
    assert type(bar) is ApprovalSpec
    assert [(freeze.environments, freeze.time_zone) for freeze in document.freeze] == [
        (("*",), "Europe/Berlin"),
        (("*",), "UTC"),
    ]
    assert [(entry.sha256, entry.run_id) for entry in document.revoked] == [(DIGITS, None), (None, 17)]
    assert document.place is None


def test_a_policy_of_nothing_but_its_version_asks_for_nothing() -> None:
    document = policy("version: 1\n")
    assert (document.bars, document.freeze, document.revoked) == ((), (), ())


def test_each_entry_of_a_policy_is_a_leaf() -> None:
    one, other = policy(GOOD).leaves(), policy(GOOD.replace("required: 2", "required: 3")).leaves()
    assert [name.split(":")[0] for name in one].count("revoked") == 2
    assert sorted(name.split(":")[0] for name in one.keys() ^ other.keys()) == ["approval", "approval"]


PROBLEMS: dict[str, tuple[str, str]] = {
    "an unknown key": ("version: 1\nfreezes: []\n", "2:1: found the unknown key 'freezes'; wanted one of version, "),
    "a slip of the pen": ("version: 1\nfreeze: [{raeson: x}]\n", "(did you mean reason?)"),
    "a key twice": ("version: 1\nrevoked: []\nrevoked: []\n", "3:1: revoked: found the key a second time"),
    "an anchor": ("version: 1\nfreeze: &a []\n", "2:9: freeze: found the anchor &a"),
    "another version": ("version: 2\n", "1:10: version: found 2; wanted 1, the version of this format"),
    "an empty list of floors": ("version: 1\napproval:\n", "2:10: approval: found an empty value; wanted a list of"),
    "none for a floor": ("version: 1\napproval: [none]\n", "2:12: approval[0]: found the text 'none'; wanted a list"),
    "a bar of nobody": ("version: 1\napproval: [{required: 0}]\n", "2:23: approval[0].required: found 0; wanted how"),
    "a floor for nothing": (
        "version: 1\napproval: [{environments: []}]\n",
        "2:27: approval[0].environments: found an empty list; wanted a list of the environments that it holds for",
    ),
    "a pattern that no name can match": (
        "version: 1\napproval: [{environments: [Prod]}]\n",
        "2:28: approval[0].environments[0]: found the text 'Prod'; wanted a list of the environments",
    ),
    "a star without quotes": (
        "version: 1\napproval: [{environments: [*]}]\n",
        "wanted well-formed YAML (put a value that begins with * in quotes)",
    ),
    "an unknown zone": (f"version: 1\nfreeze: [{{{WINDOW}, time_zone: Europe/Bonn}}]\n", "time_zone: found the"),
    "a zone that is a folder": (f"version: 1\nfreeze: [{{{WINDOW}, time_zone: Europe}}]\n", "time_zone: found the"),
    "a zone outside": (f"version: 1\nfreeze: [{{{WINDOW}, time_zone: ../UTC}}]\n", "time_zone: found the text"),
    "a zone with leap seconds": (f"version: 1\nfreeze: [{{{WINDOW}, time_zone: right/UTC}}]\n", "time_zone: found the"),
    "the machine's zone": (f"version: 1\nfreeze: [{{{WINDOW}, time_zone: localtime}}]\n", "time_zone: found the text"),
    "both forms": (
        f"version: 1\nfreeze:\n- {{{WINDOW}, cron: 0 0 * * *, duration: 1h}}\n",
        "3:15: freeze[0].from: found from and to and cron and duration; wanted either from and to, or cron and",
    ),
    "neither form": ("version: 1\nfreeze: [{reason: x}]\n", "2:10: freeze[0]: found neither form; wanted either from "),
    "half a form": (
        "version: 1\nfreeze: [{reason: x, from: 2026-01-01}]\n",
        "2:22: freeze[0].from: found from; wanted either from and to, or cron and duration (add to)",
    ),
    "no reason": ("version: 1\nfreeze: [{from: 2026-01-01, to: 2026-01-02}]\n", "reason: found nothing; wanted text"),
    "a reason of several lines": (
        'version: 1\nrevoked: [{run_id: 1, reason: "a\\nb"}]\n', "revoked[0].reason: found the text 'a\\nb'; wanted"
    ),
    "a blank reason": ("version: 1\nrevoked: [{run_id: 1, reason: ' '}]\n", "revoked[0].reason: found the text ' '"),
    "an end before the beginning": (
        "version: 1\nfreeze: [{reason: x, from: 2026-01-02, to: 2026-01-01}]\n",
        "2:40: freeze[0].to: found 2026-01-01, which is not after 2026-01-02; wanted a time after from",
    ),
    "one and the same day": ("version: 1\nfreeze: [{reason: x, from: 2026-01-02, to: 2026-01-02}]\n", "write the day"),
    "a day that no month has": ("version: 1\nfreeze: [{reason: x, from: 2026-02-30, to: 2026-03-01}]\n", "from: found"),
    "a time with an offset": (
        "version: 1\nfreeze: [{reason: x, from: '2026-02-01T00:00Z', to: 2026-03-01}]\n",
        "or a date; together with to (leave the offset out: the zone goes into time_zone)",
    ),
    "a schedule of six fields": (
        "version: 1\nfreeze: [{reason: x, cron: 0 0 0 * * *, duration: 1h}]\n",
        "2:28: freeze[0].cron: found the text '0 0 0 * * *'; wanted a schedule in quotes, of five fields: minute,",
    ),
    "a minute that no hour has": (
        "version: 1\nfreeze: [{reason: x, cron: 60 0 * * *, duration: 1h}]\n", "(60 is no minute)"
    ),
    "a day that never comes": (
        "version: 1\nfreeze: [{reason: x, cron: 0 0 30 2 *, duration: 1h}]\n", "(this day never comes)"
    ),
    "two parts of a schedule": (
        "version: 1\nfreeze: [{reason: x, cron: 0 25 * * MON-FRY, duration: 1h}]\n",
        "(25 is no hour; MON-FRY is no day of week)",
    ),
    "a duration without a unit": (
        "version: 1\nfreeze: [{reason: x, cron: 0 0 * * *, duration: 90}]\n", "(add a unit: 90s)"
    ),
    "a pattern for a list of them": (
        "version: 1\napproval: [{environments: prod}]\n", "for any characters, also /; left out: all (write [prod])"
    ),
    "a pattern of stars for a list": ("version: 1\napproval: [{environments: '*/a'}]\n", '(write ["*/a"])'),
    "a schedule by name": ("version: 1\nfreeze: [{reason: x, cron: '@daily', duration: 1h}]\n", "cron: found the text"),
    "a long schedule": (
        f"version: 1\nfreeze: [{{reason: x, cron: '{'0,' * 60}0 0 * * *', duration: 1h}}]\n", "cron: found the text"
    ),
    "no time at all": (
        "version: 1\nfreeze: [{reason: x, cron: 0 0 * * *, duration: 0s}]\n",
        "duration: found the text '0s'; wanted how long it stays closed each time, from 1m to 31d",
    ),
    "more than a month": ("version: 1\nfreeze: [{reason: x, cron: 0 0 * * *, duration: 32d}]\n", "duration: found the"),
    "a number for a duration": ("version: 1\nfreeze: [{reason: x, cron: 0 0 * * *, duration: 90}]\n", "found 90"),
    "a revocation of nothing": (
        "version: 1\nrevoked: [{reason: x}]\n",
        "2:11: revoked[0]: found neither sha256 nor run_id; wanted one of them",
    ),
    "a revocation of two things": (
        f"version: 1\nrevoked: [{{run_id: 1, sha256: {SHA}, reason: x}}]\n",
        "2:11: revoked[0]: found both sha256 and run_id; wanted one of them (write two entries)",
    ),
    "half a digest": ("version: 1\nrevoked: [{sha256: abc, reason: x}]\n", "sha256: found the text 'abc'; wanted 64 "),
    "a run in octal": ("version: 1\nrevoked: [{run_id: 017, reason: x}]\n", "run_id: found 017; wanted a whole number"),
    "a huge list": (
        "version: 1\nfreeze:\n" + f"- {{{WINDOW}}}\n" * (MAX_FREEZES + 1),
        "3:1: freeze: found a list of 101 entries; wanted a list of at most 100 freezes",
    ),
    "a list for a document": ("[]\n", "1:1: found an empty list; wanted a mapping with the keys version, approval"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_a_problem_is_told_with_place_and_what_is_wanted(text: str, told: str) -> None:
    (problem, *_) = [problem for problem in problems(text) if told in problem] or problems(text)
    assert told in problem
    if told[0].isdigit():
        assert problem.startswith(told)


def test_all_problems_of_a_policy_are_told_at_once() -> None:
    text = "version: 1\nfreeze:\n- {reason: x}\nrevoked:\n- {reason: x}\n- {run_id: 0, reason: x}\n"
    assert [problem.split(": found")[0] for problem in problems(text)] == [
        "3:3: freeze[0]", "5:3: revoked[0]", "6:12: revoked[1].run_id",
    ]  # fmt: skip


# --- what counts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        pytest.param("*", "shop/prod", True, id="a star is every environment"),
        pytest.param("prod", "prod", True, id="a name is itself"),
        pytest.param("prod", "shop/prod", False, id="a name is not one below a folder"),
        pytest.param("shop/*", "shop/eu/prod", True, id="a star also stands for folders"),
        pytest.param("shop/*", "shop", False, id="a folder is not an environment"),
        pytest.param("*prod", "shop/prod", True, id="a star at the beginning"),
        pytest.param("prod-*", "prod-eu1", True, id="a star at the end"),
        pytest.param("p*d", "prod", True, id="a star in the middle"),
        pytest.param("p*d", "prods", False, id="the whole name is meant"),
    ],
)
def test_a_pattern_covers(pattern: str, name: str, covered: bool) -> None:
    floor = FloorSpec.model_validate({"environments": [pattern]})
    assert floor.covers(EnvironmentName(name)) == covered


def test_a_pattern_of_many_stars_is_decided_at_once() -> None:
    floor = FloorSpec.model_validate({"environments": ["a*" * 90 + "b"]})
    assert not floor.covers(EnvironmentName("a" * 200))


def test_the_floors_of_the_operator_and_of_both_policies_count_each_once() -> None:
    operators = (FloorSpec.model_validate({"required": 1}), FloorSpec.model_validate({"environments": ["dev"]}))
    let_in = policy(
        "version: 1\napproval: [{required: 2, environments: [prod]}, {required: 1, environments: ['p*']}]\n"
    )
    at_tip = policy("version: 1\napproval: [{required: 1}, {required: 3, from: [a]}]\n")
    there = Rules((let_in, at_tip), operators)
    bars = [(bar.required, bar.from_) for bar in there.floors_for(EnvironmentName("prod"))]
    assert bars == [(1, None), (2, None), (3, ("a",))]
    assert [bar.required for bar in there.floors_for(EnvironmentName("dev"))] == [1, 3]
    assert Rules(()).floors_for(EnvironmentName("prod")) == ()


def test_a_revocation_counts_in_either_policy_by_digest_or_by_run() -> None:
    there = Rules((policy("version: 1\n"), policy(GOOD)))
    by_digest, by_run = policy(GOOD).revoked
    assert there.revoked(RunId(1), Digest(DIGITS)) == by_digest
    assert there.revoked(RunId(17), Digest(SHA)) == by_run
    assert there.revoked(RunId(1), Digest(SHA)) is None


def test_the_committed_schema_is_current() -> None:
    committed = Path(__file__).parents[2] / "environments" / "policy.schema.json"
    assert json.loads(committed.read_text()) == policy_json_schema()
