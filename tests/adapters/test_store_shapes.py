"""How values become text and are read back: the short ways end where the long ones do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from reconciler.core import strictjson
from reconciler.core.strictjson import Malformed
from reconciler.model import Attempt, GateResult, OperatorHand, Status
from reconciler.stores import shapes
from tests.contracts.test_store_contract import ACCEPTED, ATTEMPT, PLAN, POLICY, RUN, SOAK, STATUS
from tests.factories import NOON

EAST = timezone(timedelta(hours=5, minutes=30))


@dataclass(frozen=True, slots=True)
class One:
    """A dataclass with one field."""

    only: tuple[str, ...]


VALUES = {
    "a status": STATUS,
    "an attempt with all in it": replace(ATTEMPT, finished=NOON, message='"quoted"\n\x00\x7f'),
    "a time of another zone": replace(STATUS, since=datetime(2026, 3, 1, 17, 30, tzinfo=EAST)),
    "texts beyond ASCII": replace(STATUS, message="für 漢字", hint="\N{ROCKET}"),
    "a lone surrogate deep inside": replace(ATTEMPT, gates=(replace(ATTEMPT.gates[0], evidence=("caf\udce9",)),)),
    "what looks like an escape": replace(STATUS, message=r"C:\udata \ud800"),
    "a number with a fraction": SOAK,
    "a policy": POLICY,
    "a run": RUN,
    "a plan": PLAN,
    "what was accepted": ACCEPTED,
    "a text": "caf\udce9",
    "no items": (),
    "one field": One(("a", "b")),
    "true and zero": OperatorHand(True, retry_after=0),
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_a_value_has_the_one_spelling(value: object) -> None:
    assert shapes.canonical(value) == strictjson.canonical(shapes._plain(value))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES.keys())
def test_what_is_read_back_is_spelled_the_same(value: Any) -> None:
    text = shapes.canonical(value)
    kind: Any = tuple[str, ...] if value == () else type(value)
    assert shapes.canonical(shapes.shape(kind)(strictjson.load(text))) == text


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_has_no_spelling_is_refused(odd: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        shapes.canonical((odd,))


def test_a_field_that_is_lacking_takes_its_default_and_no_other_does() -> None:
    whole: Any = strictjson.load(shapes.canonical(STATUS))
    older = {name: value for name, value in whole.items() if name not in ("drift", "target")}
    assert shapes.shape(Status)(older) == replace(STATUS, drift=(), target="")
    with pytest.raises(Malformed, match="missing or unknown fields: 'sync'"):
        shapes.shape(Status)({name: value for name, value in whole.items() if name != "sync"})
    with pytest.raises(Malformed, match="missing or unknown fields: 'extra'"):
        shapes.shape(Status)({**whole, "extra": 1})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sync": ["Synced"]}, "sync: something else where a sync must be"),
        ({"live": {"id": "x", "run_id": True, "sha256": "y"}}, "live: run_id: something else where a whole number"),
        ({"gates": [{}]}, "gates: missing or unknown fields"),
        ({"live_since": "2026-03-01"}, "live_since: something else where a time"),
        ({"message": "\ud800"}, "message: something else where a text"),
    ],
)
def test_what_is_odd_is_told_with_the_name_of_its_field(change: dict[str, object], told: str) -> None:
    whole: Any = strictjson.load(shapes.canonical(STATUS))
    with pytest.raises(Malformed, match=told):
        shapes.shape(Status)({**whole, **change})


def test_a_text_that_was_read_before_means_the_same_and_one_that_is_odd_stays_odd() -> None:
    read = shapes.spelled(tuple[GateResult, ...])
    text = shapes.canonical(ATTEMPT.gates)
    assert read(text) == read(text) == ATTEMPT.gates
    for odd in ("[[[", "[{}]", "7", None, b"[]", text + " x", text.replace("held", "hold")):
        for _ in range(2):
            with pytest.raises(Malformed):
                read(odd)


def test_an_instance_of_a_dataclass_can_keep_a_field_in_another_way() -> None:
    plain: Any = strictjson.load(shapes.canonical(ATTEMPT))
    read = shapes.instance_of(Attempt, {"gates": shapes.spelled(tuple[GateResult, ...])})
    assert read({**plain, "gates": shapes.canonical(ATTEMPT.gates)}) == ATTEMPT
    with pytest.raises(Malformed, match="gates: "):
        read(plain)
