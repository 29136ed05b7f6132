"""What concerns more than one environment: all declarations, the rules that are common to them, and who soaked."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.declarations.catalog import Catalog
from reconciler.pipeline.rulebook import Rulebook
from reconciler.pipeline.soaks import Soaks
from reconciler.ports import Checks


@dataclass(frozen=True, slots=True)
class Fleet:
    """Shared by all passes of one process."""

    catalog: Catalog
    rulebook: Rulebook
    soaks: Soaks
    checks: Checks
    """Of the health of what is live, made beside the passes."""
