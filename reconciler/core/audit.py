"""placeholder"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    seq: int
