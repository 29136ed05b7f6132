"""The world that most stories begin in."""

from __future__ import annotations

import pytest

from tests.simulation.world import FakeWorld, Process


@pytest.fixture
def world() -> FakeWorld:
    """Run 1 was approved for prod."""
    world = FakeWorld()
    world.merge({"prod.yaml": world.file("prod", 1)})
    return world


@pytest.fixture
def process(world: FakeWorld) -> Process:
    """Run 1 is live."""
    process = world.boot()
    process.round()
    assert world.runs_live("prod") == 1
    return process
