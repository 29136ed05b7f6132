"""What the listener tells the log."""

from __future__ import annotations

from typing import Protocol


class Journal(Protocol):
    """Told from the listener's thread; nothing of a body or of any other header ever reaches it."""

    def delivered(self, event: str, delivery: str, outcome: str) -> None:
        """A delivery was answered.

        Args:
            event: The name of the event, printable and short; empty when none was given.
            delivery: The id that the forge gave it, printable and short.
            outcome: In a word or two: what was answered.
        """
        ...

    def trouble(self, problem: Exception) -> None:
        """Something is wrong on our side: with the secrets, or unexpectedly."""
        ...
