"""Random histories on the real product. A failure prints the seed and the story; `play(seed)` tells it again."""

from __future__ import annotations

import pytest

from tests.simulation.history import History
from tests.simulation.moves import EVERYTHING

SEEDS = 300
BLOCK = 20
STEPS = 40


def play(seed: int) -> None:
    history = History(seed)
    try:
        history.play(STEPS, EVERYTHING)
        history.end()
    except Exception as problem:
        story = "\n".join(f"{number:3} {told}" for number, told in enumerate(history.told))
        raise AssertionError(f"seed {seed}: {problem}\n{story}") from problem


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_no_history_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + BLOCK):
        play(seed)
