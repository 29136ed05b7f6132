"""What the pipeline asks of the world, as Protocols. Adapters bring facts; verdicts stay in `core`.

Every method may raise `reconciler.errors.ReconcilerError` and nothing else for a fault of the world;
anything else is a bug. All are safe to call again after any failure, and from several threads.
"""

from __future__ import annotations

from reconciler.ports.artifacts import ArtifactStream, Custody, Source
from reconciler.ports.deciding import Deployments, Forge, PullRequests, Repository
from reconciler.ports.memory import Store
from reconciler.ports.parts import Addressed, Addresses, Checkable, Clock, Parts, Trace
from reconciler.ports.running import Activator, Check, Checks, Job, Probe, Secrets
from reconciler.ports.targets import Premises, Target, Targets

__all__ = [
    "Activator",
    "Addressed",
    "Addresses",
    "ArtifactStream",
    "Check",
    "Checkable",
    "Checks",
    "Clock",
    "Custody",
    "Deployments",
    "Forge",
    "Job",
    "Parts",
    "Premises",
    "Probe",
    "PullRequests",
    "Repository",
    "Secrets",
    "Source",
    "Store",
    "Target",
    "Targets",
    "Trace",
]
