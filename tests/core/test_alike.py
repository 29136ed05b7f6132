"""Equal parts of statuses are kept once, and nobody can tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core import alike
from reconciler.core.alike import Alike
from reconciler.model import (
    CommitId,
    Declared,
    Digest,
    EnvironmentName,
    Gate,
    GateResult,
    Health,
    Release,
    RunId,
    Status,
    Sync,
    Verdict,
)
from tests.factories import NOON


def status(name: str) -> Status:
    digest = Digest("a" * 64)
    words = tuple(GateResult(gate, Verdict.PASSED, evidence=(f"{gate} passed",)) for gate in Gate)
    return Status(
        environment=EnvironmentName(name),
        sync=Sync.SYNCED,
        health=Health.HEALTHY,
        reason=None,
        message="1-aaaaaaaaaaaa is live",
        hint="",
        live_since=NOON,
        declared=Declared(CommitId("c" * 40), RunId(1), digest),
        live=Release("1-aaaaaaaaaaaa", RunId(1), digest),
        gates=(*words[:-1], replace(words[-1], message=f"of {name}")),
        since=NOON,
    )


def test_equal_parts_are_kept_once_and_the_status_is_what_it_was() -> None:
    kept = Alike()
    one, other = kept.status(status("a")), kept.status(status("b"))
    assert (one, other) == (status("a"), status("b"))
    assert all(word is same for word, same in zip(one.gates[:-1], other.gates[:-1], strict=True))
    assert one.gates[-1] != other.gates[-1]
    assert one.live is other.live
    assert one.declared is other.declared


def test_what_is_known_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "KEPT", 20)
    kept = Alike()
    for number in range(100):
        assert kept.status(status(f"e{number}")) == status(f"e{number}")
        assert len(kept._known) <= 20
