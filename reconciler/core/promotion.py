"""Not tested in the environments before, no right to come further: facts about them against a declaration's rules.

The facts are live ones: what runs there now, whether it is healthy now, and how long it was seen so without a break.
What an upstream declares, or once ran, proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.core.declare import PromoteSpec
from reconciler.core.durations import in_words
from reconciler.core.plan import Wanted
from reconciler.errors import Reason
from reconciler.model import EnvironmentName, Gate, GateResult, Release, Soak, Verdict


@dataclass(frozen=True, slots=True)
class Upstream:
    """An environment that another one promotes from, as it stands now."""

    environment: EnvironmentName
    live: Release | None
    trouble: str = ""
    """Why it is not healthy, or can't be told; empty when it is."""
    soak: Soak | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """From where, and after how many seconds there. Several declarations' rules together: the strictest."""

    after: tuple[EnvironmentName, ...]
    soak: float


def strictest(specs: Iterable[PromoteSpec | None]) -> Rule:
    """Every upstream that any of them names, for as long as any of them asks."""
    given = [spec for spec in specs if spec is not None]
    names = dict.fromkeys(EnvironmentName(name) for spec in given for name in spec.after)
    return Rule(tuple(names), max((spec.soak_seconds for spec in given), default=0.0))


def judge_promotion(wanted: Wanted, rule: Rule, upstreams: Iterable[Upstream], now: datetime) -> GateResult:
    """The gate's word. What is missing altogether is told before what only takes time."""
    words = [_word(wanted, rule, upstream, now) for upstream in upstreams]
    evidence = tuple(line for word in words for line in word.evidence)
    held = [word for word in words if word.verdict is Verdict.HELD]
    if not held:
        message = "proven in " + ", ".join(rule.after) if rule.after else "promotes from no environment"
        return GateResult(Gate.PROMOTION, Verdict.PASSED, message=message, evidence=evidence)
    worst = min(held, key=lambda word: _ORDER.index(word.reason))
    earliest = [word.not_before for word in held]
    return GateResult(
        Gate.PROMOTION,
        Verdict.HELD,
        worst.reason,
        worst.message,
        evidence,
        worst.hint,
        max((at for at in earliest if at), default=None) if all(earliest) else None,
    )


_ORDER = (Reason.NOT_IN_UPSTREAM, Reason.UPSTREAM_UNHEALTHY, Reason.SOAKING)


def _word(wanted: Wanted, rule: Rule, upstream: Upstream, now: datetime) -> GateResult:
    name, live = upstream.environment, upstream.live
    if live is None or live.sha256 != wanted.sha256:
        runs = f"run {live.run_id} ({live.sha256[:12]})" if live else "nothing"
        return _held(
            Reason.NOT_IN_UPSTREAM,
            f"{name} runs {runs}, not the artifact {wanted.sha256[:12]} of run {wanted.run_id}",
            f"promote run {wanted.run_id} to {name} first, or declare here what {name} runs",
            f"{name}: {live.id if live else 'nothing'} is live",
        )
    if upstream.trouble:
        return _held(
            Reason.UPSTREAM_UNHEALTHY,
            f"{live.id} is live in {name}, which is not healthy: {upstream.trouble}",
            f"reconciler why {name}",
            f"{name}: {live.id} is live, {upstream.trouble}",
        )
    soak, told = upstream.soak, f"{name}: {live.id} is live and healthy"
    if rule.soak <= 0:
        return GateResult(Gate.PROMOTION, Verdict.PASSED, evidence=(told,))
    earned = soak.earned if soak else 0.0
    since = f", seen so without a break since {_moment(soak.began)}" if soak else ""
    told = f"{told}{since}: {in_words(earned)} of {in_words(rule.soak)}"
    if earned >= rule.soak:
        return GateResult(Gate.PROMOTION, Verdict.PASSED, evidence=(told,))
    at = now + timedelta(seconds=rule.soak - earned)
    return _held(
        Reason.SOAKING,
        f"{live.id} must be seen healthy in {name} for {in_words(rule.soak)} without a break; "
        f"earliest at {_moment(at)}",
        f"wait: it goes on by itself, if {name} stays as it is",
        told,
        at,
    )


def _held(reason: Reason, message: str, hint: str, told: str, not_before: datetime | None = None) -> GateResult:
    return GateResult(Gate.PROMOTION, Verdict.HELD, reason, message, (told,), hint, not_before)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}Z"
