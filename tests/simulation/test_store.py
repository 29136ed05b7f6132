"""The fake store keeps the contract of the real ones: the same suite, run on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from reconciler.ports import Store
from tests.contracts.test_store_contract import *  # noqa: F403 - the suite itself
from tests.simulation.faults import Faults, ManualClock
from tests.simulation.store import FakeStore


@pytest.fixture(name="reopen")
def same_memory() -> Callable[[], Store]:
    """The same memory each time, as another process would find it."""
    store = FakeStore(Faults(), ManualClock(), lambda port: None)
    return lambda: store
