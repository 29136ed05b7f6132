"""Random histories on the real product. A failure prints the seed and the story; `play(seed)` tells it again."""

from __future__ import annotations

import pytest

from tests.simulation.custody_moves import FORGETTING, WAITING
from tests.simulation.history import History
from tests.simulation.landing_moves import LANDINGS
from tests.simulation.living_moves import LIVING
from tests.simulation.moves import EVERYTHING
from tests.simulation.rules_moves import GOVERNANCE, begin

SEEDS = 200
LIVING_SEEDS = 100
GOVERNED_SEEDS = 160
BLOCK = 20
STEPS = 40
GAP = 40.0
GOVERNED_STEPS = 25
ANYTHING = EVERYTHING + LANDINGS + FORGETTING
GOVERNED = GOVERNANCE + LANDINGS[::2] + WAITING


def play(seed: int, *, governed: bool = False, living: bool = False) -> None:
    history = History(seed, governed=governed, living=living)
    try:
        if governed:
            history.world.gap = GAP
            history.tell(History.round)
            history.tell(begin)
        moves = GOVERNED if governed else LIVING + LANDINGS if living else ANYTHING
        history.play(GOVERNED_STEPS if governed else STEPS, moves)
        history.end()
    except Exception as problem:
        story = "\n".join(f"{number:3} {told}" for number, told in enumerate(history.told))
        raise AssertionError(f"seed {seed}: {problem} {problem.__cause__ or ''}\n{story}") from problem


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
def test_no_history_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + BLOCK):
        play(seed)


@pytest.mark.parametrize("first", range(0, LIVING_SEEDS, BLOCK))
def test_no_history_breaks_a_promise_about_what_runs(first: int) -> None:
    for seed in range(first, first + BLOCK):
        play(seed, living=True)


@pytest.mark.parametrize("first", range(0, GOVERNED_SEEDS, BLOCK))
def test_no_history_breaks_a_rule_between_environments_and_each_pass_is_foreseen(first: int) -> None:
    for seed in range(first, first + BLOCK):
        play(seed, governed=True)
