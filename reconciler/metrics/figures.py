"""The numbers behind `GET /metrics`: counters and times of this process, and how the environments stand right now."""

from __future__ import annotations

import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from reconciler import __version__
from reconciler.errors import Reason, ReconcilerError
from reconciler.metrics import families
from reconciler.metrics.families import ERROR, VALUES, Family
from reconciler.metrics.fleet import Fleet
from reconciler.metrics.passes import Done
from reconciler.model import Attempt, EnvironmentName, Outcome, Status
from reconciler.ports import Clock

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper ends of the buckets: a pass over what is converged takes milliseconds, a download may take its minutes."""
REST_SECONDS = 1.0
"""For which one answer serves everybody who asks: so however often it is asked for, it is made once a second."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where numbers are that somebody else keeps; all of them are in memory. None: nobody counts this here."""

    statuses: Callable[[], Mapping[EnvironmentName, Status]]
    waiting: Callable[[], int]
    under_way: Callable[[], int]
    workers: int
    skipped: Callable[[], int] | None = None
    forge_requests: Callable[[], int] | None = None
    probes: Callable[[], Mapping[bool, int]] | None = None


class Figures:
    """Told of what happens, from any thread; asked for a scrape by the listener.

    Args:
        clock: For the time of the last look, and so that one answer serves all that ask within a second.
        each: Whether there are lines for each environment.
    """

    def __init__(self, clock: Clock, *, each: bool) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._each = each
        self._sources: Sources | None = None
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        build = _counting(Gauge, families.BUILD, registry)
        build.labels(__version__, platform.python_version()).set(1)
        self._passes = _counting(Counter, families.PASSES, registry)
        self._pass_seconds = _counting(Histogram, families.PASS_SECONDS, registry, buckets=SECONDS)
        self._stage_seconds = _counting(Histogram, families.STAGE_SECONDS, registry, buckets=SECONDS)
        self._attempts = _counting(Counter, families.ATTEMPTS, registry)
        self._attempt_seconds = _counting(Histogram, families.ATTEMPT_SECONDS, registry, buckets=SECONDS)
        self._poll_seconds = _counting(Histogram, families.POLL_SECONDS, registry, buckets=SECONDS)
        self._poll_failures = _counting(Counter, families.POLL_FAILURES, registry)
        self._chore_failures = _counting(Counter, families.CHORE_FAILURES, registry)
        self._last_poll = _counting(Gauge, families.LAST_POLL, registry)
        for one, family in (
            (self._passes, families.PASSES),
            (self._pass_seconds, families.PASS_SECONDS),
            (self._stage_seconds, families.STAGE_SECONDS),
        ):
            _begin_at_zero(one, family)
        for reason in (Reason.REPOSITORY_UNAVAILABLE, Reason.STORE_UNAVAILABLE):
            self._poll_failures.labels(reason.value)
        self._fleet = Fleet()
        registry.register(_Read(self._read))
        self._turn = threading.Lock()
        self._answer = b""
        self._made = float("-inf")

    # --- told ------------------------------------------------------------------------------------

    def passed(self, status: Status, problem: Exception | None, done: Done) -> None:
        """A pass ended."""
        result = ERROR if problem is not None else status.sync.value
        self._passes.labels(result).inc()
        if done.id:
            self._pass_seconds.labels(result).observe(done.seconds)
        for stage, seconds in done.stages.items():
            self._stage_seconds.labels(stage.value).observe(seconds)
        for attempt in done.attempts:
            self._attempted(attempt)

    def _attempted(self, attempt: Attempt) -> None:
        outcome = attempt.outcome
        if outcome is None:
            return  # it is counted by the pass that ends it
        self._attempts.labels(attempt.action.value, outcome.value, attempt.reason.value if attempt.reason else "").inc()
        if outcome is not Outcome.REFUSED and attempt.finished is not None:
            seconds = (attempt.finished - attempt.started).total_seconds()
            self._attempt_seconds.labels(outcome.value).observe(max(0.0, seconds))  # the wall clock may have been set

    def looked(self, problem: Exception | None, seconds: float | None, *, chore: bool) -> None:
        """A look at the repository ended, or work beside the passes failed.

        Args:
            problem: Why it failed.
            seconds: How long a look took, if it got so far as to ask the remote.
            chore: Whether it was other work.
        """
        if problem is None:
            self._last_poll.set(self._clock.now().timestamp())
        else:
            reason = problem.reason if isinstance(problem, ReconcilerError) else Reason.INTERNAL_ERROR
            (self._chore_failures if chore else self._poll_failures).labels(reason.value).inc()
        if seconds is not None and not chore:
            self._poll_seconds.observe(seconds)

    # --- asked -----------------------------------------------------------------------------------

    def read_from(self, sources: Sources) -> None:
        """Where the other numbers are, from now on."""
        self._sources = sources

    def scrape(self) -> bytes:
        """All of it, in the text format 0.0.4. One at a time; whoever comes meanwhile gets the same."""
        with self._turn:
            now = self._clock.monotonic()
            if now - self._made >= REST_SECONDS:
                self._answer = self._make()
                self._made = now
            return self._answer

    def _make(self) -> bytes:
        statuses = self._sources.statuses().values() if self._sources else ()
        self._fleet = Fleet.of(statuses, each=self._each)
        try:
            return generate_latest(self._registry) + self._fleet.lines().encode()
        finally:
            self._fleet = Fleet()

    def _read(self) -> Iterator[Metric]:
        """What is known only now."""
        yield from self._fleet.sums()
        sources = self._sources
        if sources is None:
            return
        yield _gauge(families.BUSY, sources.under_way())
        yield _gauge(families.WORKERS, sources.workers)
        yield _gauge(families.WAITING, sources.waiting())
        if sources.skipped is not None:
            yield _counter(families.SKIPPED, sources.skipped())
        if sources.forge_requests is not None:
            yield _counter(families.FORGE, sources.forge_requests())
        if sources.probes is not None:
            counted = CounterMetricFamily(families.PROBES.name, families.PROBES.says, labels=families.PROBES.labels)
            for passed, count in sources.probes().items():
                counted.add_metric(("yes" if passed else "no",), count)
            yield counted


class _Read(Collector):
    """A part of the registry that is made when it is asked for."""

    def __init__(self, read: Callable[[], Iterator[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Now."""
        return self._read()


def _counting(kind: Any, family: Family, registry: CollectorRegistry, **more: object) -> Any:
    return kind(family.name, family.says, family.labels, registry=registry, **more)


def _begin_at_zero(metric: Any, family: Family) -> None:
    """Series that are there before they count: a rate has no gap then."""
    (label,) = family.labels
    for value in sorted(VALUES[label] or ()):
        metric.labels(value)


def _gauge(family: Family, value: float) -> Metric:
    return GaugeMetricFamily(family.name, family.says, value=value)


def _counter(family: Family, value: float) -> Metric:
    return CounterMetricFamily(family.name, family.says, value=value)
