"""What every benchmark is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.kit.sizes import affordable
from benchmarks.kit.table import Row


@dataclass(frozen=True, slots=True)
class Setting:
    """Where to work, and how large to be."""

    folder: Path
    """Empty, and thrown away afterwards."""
    quick: bool
    patient: bool = False
    """Whether to take the full sizes, however long it takes to prepare them."""

    def size(self, full: int, quick: int) -> int:
        """The one of the two that is asked for."""
        return quick if self.quick else full

    def deployed(self, full: int, quick: int, budget: float) -> int:
        """The same for environments that must all be deployed first, in at most `budget` seconds."""
        if self.quick or self.patient:
            return self.size(full, quick)
        return affordable(self.folder.parent, full, budget)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark; its module's docstring says what is measured from when to when."""

    name: str
    title: str
    run: Callable[[Setting], Iterable[Row]]
