"""How the environments stand, as metrics: counted over what the runner has in memory, anew for each scrape.

The lines that there are many of are written here and not by the Prometheus client, which takes ten times as long for
them. The format is its text format 0.0.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from reconciler.metrics.families import DRIFT, DRIFTED, ENVIRONMENTS, HELD, HOLDS, INFO, ROLLBACK, Family, Ready
from reconciler.model import DriftKind, Health, Status, Sync, Verdict

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(slots=True)
class Fleet:
    """Counted so far."""

    stands: Counter[tuple[str, ...]] = field(default_factory=Counter)
    holds: Counter[tuple[str, ...]] = field(default_factory=Counter)
    drift: Counter[tuple[str, ...]] = field(default_factory=Counter)
    ready: Counter[tuple[str, ...]] = field(default_factory=Counter)
    info: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    drifted: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, statuses: Iterable[Status], *, each: bool) -> Fleet:
        """Count.

        Args:
            statuses: Of all environments.
            each: Whether there are lines for each of them, and not only sums.
        """
        fleet = cls()
        for status in statuses:
            fleet._add(status, each=each)
        return fleet

    def _add(self, status: Status, *, each: bool) -> None:
        self.stands[status.sync.value, status.health.value] += 1
        self.ready[_ready(status)] += 1
        for drift in status.drift:
            self.drift[drift.kind.value,] += 1
        hold = holding(status)
        if hold is not None:
            self.holds[hold] += 1
        if each:
            self._add_lines(status, hold)

    def _add_lines(self, status: Status, hold: tuple[str, str] | None) -> None:
        name = status.environment.translate(_ESCAPES)
        live, declared = status.live, status.declared.run_id
        self.info.append(
            f'{INFO.name}{{environment="{name}",sync_status="{status.sync.value}",health_status="{status.health.value}",'
            f'reason="{status.reason.value if status.reason else ""}",run_id="{live.run_id if live else ""}",'
            f'declared_run_id="{"" if declared is None else declared}"}} 1\n'
        )
        if hold is not None:
            self.held.append(f'{HELD.name}{{environment="{name}",gate="{hold[0]}",reason="{hold[1]}"}} 1\n')
        if status.drift:
            self.drifted.append(f'{DRIFTED.name}{{environment="{name}"}} {len(status.drift)}\n')

    def sums(self) -> Iterator[Metric]:
        """Over all environments; a gate that holds nothing is absent, all else is there with a zero."""
        for sync in Sync:
            for health in Health:
                self.stands[sync.value, health.value] += 0
        for ready in Ready:
            self.ready[ready.value,] += 0
        for kind in DriftKind:
            self.drift[kind.value,] += 0
        yield _gauge(ENVIRONMENTS, self.stands)
        yield _gauge(HOLDS, self.holds)
        yield _gauge(DRIFT, self.drift)
        yield _gauge(ROLLBACK, self.ready)

    def lines(self) -> str:
        """For each environment."""
        return "".join(_block(family, lines) for family, lines in self._blocks() if lines)

    def _blocks(self) -> tuple[tuple[Family, list[str]], ...]:
        return (INFO, self.info), (HELD, self.held), (DRIFTED, self.drifted)


def holding(status: Status) -> tuple[str, str] | None:
    """The gate that holds an environment, with its reason; None when none does."""
    if status.reason is None:
        return None
    found = next((result for result in status.gates if result.verdict is Verdict.HELD), None)
    if found is None or found.reason is not status.reason:
        return None  # after an unexpected error the gates are those of the pass before
    return found.gate.value, status.reason.value


def _ready(status: Status) -> tuple[str]:
    if status.rollback is None:
        return (Ready.UNKNOWN.value,)
    return ((Ready.YES if status.rollback.ready else Ready.NO).value,)


def _gauge(family: Family, counts: Counter[tuple[str, ...]]) -> Metric:
    gauge = GaugeMetricFamily(family.name, family.says, labels=family.labels)
    for labels, count in sorted(counts.items()):
        gauge.add_metric(labels, count)
    return gauge


def _block(family: Family, lines: list[str]) -> str:
    return f"# HELP {family.name} {family.says}\n# TYPE {family.name} gauge\n{''.join(lines)}"
