"""Every metric of ours: its name, what it says, its labels. docs/metrics.md and a scrape are held against this list.

Names follow the Prometheus conventions: one prefix, base units, `_total` for what only grows, `_info` for what is
always one. The values of every label but the environment's name, run ids and versions come from closed lists; no label
is a message, which may be anybody's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from reconciler.errors import Reason
from reconciler.metrics.passes import Stage
from reconciler.model import Action, DriftKind, Gate, Health, Outcome, Sync

Kind = Literal["counter", "gauge", "histogram"]
ERROR = "Error"
"""Instead of where it stands: the pass ended with an unexpected error."""


class Ready(StrEnum):
    """Whether a rollback would work."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """Nobody looked yet, or there is nothing to go back to."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()
    per_environment: bool = False


VALUES: Mapping[str, frozenset[str] | None] = {
    "environment": None,
    "run_id": None,
    "declared_run_id": None,
    "version": None,
    "python_version": None,
    "sync_status": frozenset(Sync),
    "health_status": frozenset(Health),
    "result": frozenset({*Sync, ERROR}),
    "action": frozenset(Action),
    "outcome": frozenset(Outcome),
    "reason": frozenset({*Reason, ""}),
    "gate": frozenset(Gate),
    "kind": frozenset(DriftKind),
    "stage": frozenset(Stage),
    "ready": frozenset(Ready),
    "passed": frozenset({"yes", "no"}),
}
"""What a label can be; None: names and numbers that the environment files and this program's build give."""

BUILD = Family("reconciler_build_info", "gauge", "Always 1: the version that runs.", ("version", "python_version"))
PASSES = Family("reconciler_passes_total", "counter", "Passes by where they left the environment.", ("result",))
SKIPPED = Family("reconciler_passes_skipped_total", "counter", "Looks at environments that nobody touched since.")
PASS_SECONDS = Family(
    "reconciler_pass_duration_seconds", "histogram", "Time of a pass, by where it left the environment.", ("result",)
)
STAGE_SECONDS = Family(
    "reconciler_stage_duration_seconds",
    "histogram",
    "Time of one stage, of passes that fetched, installed, switched or activated something.",
    ("stage",),
)
ATTEMPTS = Family(
    "reconciler_attempts_total",
    "counter",
    "Attempts that have their outcome; the reason is empty for those that succeeded.",
    ("action", "outcome", "reason"),
)
ATTEMPT_SECONDS = Family(
    "reconciler_attempt_duration_seconds",
    "histogram",
    "Time from intent to outcome: until it was proven healthy, where that is asked. Not of refused attempts.",
    ("outcome",),
)
BUSY = Family("reconciler_workers_busy", "gauge", "Passes that are under way.")
WORKERS = Family("reconciler_workers", "gauge", "Passes that may be under way at once, as the settings say.")
WAITING = Family("reconciler_due_queue_length", "gauge", "Environments that are due and wait for a worker.")
POLL_SECONDS = Family("reconciler_poll_duration_seconds", "histogram", "Time of a look at the repository.")
POLL_FAILURES = Family("reconciler_poll_failures_total", "counter", "Looks at the repository that failed.", ("reason",))
CHORE_FAILURES = Family(
    "reconciler_chore_failures_total", "counter", "Work beside the passes that failed, such as collecting.", ("reason",)
)
LAST_POLL = Family(
    "reconciler_last_successful_poll_timestamp_seconds", "gauge", "When a look at the repository succeeded last."
)
FORGE = Family("reconciler_forge_requests_total", "counter", "Requests made to the forge's API.")
PROBES = Family("reconciler_health_probes_total", "counter", "Health checks made, by whether they passed.", ("passed",))
ENVIRONMENTS = Family(
    "reconciler_environments", "gauge", "Environments by where they stand.", ("sync_status", "health_status")
)
HOLDS = Family(
    "reconciler_gate_holds", "gauge", "Environments that a gate holds; absent where it holds none.", ("gate", "reason")
)
DRIFT = Family("reconciler_drift_paths", "gauge", "Paths that differ from what was installed.", ("kind",))
ROLLBACK = Family(
    "reconciler_rollback_ready", "gauge", "Environments by whether a rollback would work right now.", ("ready",)
)
INFO = Family(
    "reconciler_environment_info",
    "gauge",
    "Always 1: where the environment stands, why it is not well, which run is live and which is declared.",
    ("environment", "sync_status", "health_status", "reason", "run_id", "declared_run_id"),
    per_environment=True,
)
HELD = Family(
    "reconciler_environment_held",
    "gauge",
    "Always 1, while a gate holds the environment.",
    ("environment", "gate", "reason"),
    per_environment=True,
)
DRIFTED = Family(
    "reconciler_environment_drift_paths",
    "gauge",
    "Paths of the environment that differ from what was installed; absent where none does.",
    ("environment",),
    per_environment=True,
)

FAMILIES = (
    *(BUILD, PASSES, SKIPPED, PASS_SECONDS, STAGE_SECONDS, ATTEMPTS, ATTEMPT_SECONDS, BUSY, WORKERS, WAITING),
    *(POLL_SECONDS, POLL_FAILURES, CHORE_FAILURES, LAST_POLL, FORGE, PROBES),
    *(ENVIRONMENTS, HOLDS, DRIFT, ROLLBACK, INFO, HELD, DRIFTED),
)
