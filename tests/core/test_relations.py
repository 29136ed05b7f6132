"""What is kept along from change to change is what would be told from nothing."""

from __future__ import annotations

import random

import pytest

from reconciler.core.relations import Outline, Relations
from reconciler.model import EnvironmentName

NAMES = [EnvironmentName(f"e{number}") for number in range(40)]
PLACES = ["/srv", "/srv/a", "/srv/a/b", "/srv/a/b/c", "/srv/ab", "/srv/a-b", "/opt/a", "/opt/a/b", "/opt"]


def outline(chance: random.Random, spread: float) -> Outline:
    place = None if chance.random() < 0.1 else chance.choice([*PLACES, *(f"/own/{n}" for n in range(60))])
    after = tuple(chance.sample([*NAMES, "absent"], chance.choice([0, 1, 1, 2]))) if chance.random() < spread else ()
    return Outline(place, after, chance.choice([0.0, 60.0, 3600.0]) if after else 0.0)


@pytest.mark.parametrize("seed", range(40))
def test_after_any_changes_all_is_as_if_told_from_nothing(seed: int) -> None:
    chance = random.Random(seed)
    spread = chance.choice([0.2, 0.5, 0.9])
    known = Relations.of({name: outline(chance, spread) for name in chance.sample(NAMES, 30)})
    for _ in range(40):
        names = chance.sample(NAMES, chance.choice([1, 1, 1, 2, 3, 6, 20]))
        changes = {name: None if chance.random() < 0.3 else outline(chance, spread) for name in names}
        before, (known, concerned) = known, known.moved(changes)
        fresh = Relations.of(dict(known.outlines))
        assert known.outlines == {
            name: changes.get(name, before.outlines.get(name))
            for name in NAMES
            if changes.get(name, before.outlines.get(name))
        }
        assert (known.rivals, known.problems, known.soaks) == (fresh.rivals, fresh.problems, fresh.soaks)
        assert (known.places, known.waiters) == (fresh.places, fresh.waiters)
        assert concerned == {
            name
            for name in NAMES
            if before.rivals.get(name) != known.rivals.get(name)
            or before.problems.get(name) != known.problems.get(name)
        }


def test_what_changes_nothing_for_the_others_costs_nothing() -> None:
    known = Relations.of({name: Outline(f"/srv/{name}") for name in NAMES})
    same, concerned = known.moved({NAMES[0]: Outline(f"/srv/{NAMES[0]}")})
    assert same is known
    assert concerned == frozenset()


def test_a_file_that_can_not_be_read_is_declared_all_the_same() -> None:
    prod, qa = EnvironmentName("prod"), EnvironmentName("qa")
    assert Relations.of({prod: Outline("/srv/prod", (qa,)), qa: Outline(None)}).problems == {}
    assert set(Relations.of({prod: Outline("/srv/prod", (qa,))}).problems) == {prod}
