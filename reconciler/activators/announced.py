"""An activator that says when it begins: for whoever times a pass by its steps."""

from __future__ import annotations

from reconciler.core.running import ActivateSpec
from reconciler.model import EnvironmentName
from reconciler.ports import Activator, Job, Trace


class AnnouncedActivator:
    """Implements `ports.Activator` by another one.

    Args:
        activator: Does the work.
        trace: Gets `activation:start` right before something is started.
    """

    def __init__(self, activator: Activator, trace: Trace) -> None:
        self._activator = activator
        self._trace = trace

    def allow(self, environment: EnvironmentName, spec: ActivateSpec) -> None:
        """Only looks; see `ports.Activator`."""
        self._activator.allow(environment, spec)

    def activate(self, spec: ActivateSpec, job: Job) -> str:
        """Start it; see `ports.Activator`."""
        self._trace("activation:start")
        return self._activator.activate(spec, job)

    def trouble(self, environment: EnvironmentName, spec: ActivateSpec) -> str:
        """Why what was activated does not run; see `ports.Activator`."""
        return self._activator.trouble(environment, spec)
