"""The notary on a real store with a real key: what it followed is not read again, and a stop never takes long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from reconciler.chores.notary import Notary
from reconciler.core.audit import Entry
from reconciler.errors import IntegrityError, Reason
from reconciler.model import OperatorHand
from reconciler.signing import Signer, make_key
from reconciler.stores import sql
from tests.contracts.test_store_contract import STAGING
from tests.factories import NOON


class Ticking:
    """A second goes by each time that somebody asks how late it is."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON

    def monotonic(self) -> float:
        self.seconds += 1
        return self.seconds


class Counted(sql.SqlStore):
    """Tells how many entries were read from the chain in order."""

    read = 0

    def audit(self, after: int = 0) -> Iterator[Entry]:
        for entry in super().audit(after):
            self.read += 1
            yield entry


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[Counted]:
    opened = Counted(f"sqlite:///{path}", Ticking(), lambda _: None)
    grow(opened, 20)
    yield opened
    opened.close()


@pytest.fixture
def notary(store: Counted, tmp_path: Path) -> Notary:
    key = tmp_path / "key"
    make_key(key, 60, lambda _: None)
    return Notary(store, Ticking(), Signer(key, 60, lambda _: None), None)


def grow(store: sql.SqlStore, entries: int) -> None:
    for number in range(entries):
        store.save_hand(STAGING, OperatorHand(reason=str(number)), "retry", NOON)


def test_a_checkpoint_covers_the_whole_chain_however_long_that_takes(store: Counted, notary: Notary) -> None:
    made = notary.checkpoint()
    assert made is not None
    assert made.entries == 20


def test_a_stop_signs_what_it_could_check_in_its_time_and_the_next_one_goes_on(store: Counted, notary: Notary) -> None:
    first, second = notary.farewell(5.0), notary.farewell(5.0)
    assert first is not None
    assert second is not None
    assert 0 < first.entries < second.entries < 20
    heads = {entry.seq: entry.hash for entry in store.audit()}
    assert (first.head, second.head) == (heads[first.entries], heads[second.entries])


def test_what_was_followed_is_signed_without_being_read_again(store: Counted, notary: Notary) -> None:
    for _ in range(10):
        notary.follow(5.0)
    assert store.checkpoints() == ()
    grow(store, 1)
    store.read = 0
    made = notary.checkpoint()
    assert made is not None
    assert (made.entries, store.read) == (21, 1)


def test_an_idle_chain_costs_no_entry(store: Counted, notary: Notary) -> None:
    notary.checkpoint()
    store.read = 0
    notary.follow(5.0)
    assert (store.read, notary.checkpoint()) == (0, store.checkpoints()[-1])


def test_what_was_altered_is_found_while_following(store: Counted, notary: Notary, path: Path) -> None:
    forge(path, 7)
    notary.follow(5.0)
    with pytest.raises(IntegrityError) as found:
        notary.follow(5.0)
    assert found.value.reason is Reason.AUDIT_MISMATCH
    assert "entry 6 is not followed" in found.value.message


def test_where_another_chain_stands_by_now_nothing_that_was_followed_counts(
    store: Counted, notary: Notary, path: Path
) -> None:
    notary.checkpoint()
    grow(store, 10)
    notary.follow(100.0)
    forget(path, 25)
    grow(store, 8)
    store.read = 0
    made = notary.checkpoint()
    assert made is not None
    assert (made.entries, store.read) == (33, 13), "from what was signed on"


def forge(path: Path, seq: int) -> None:
    """Alter one entry behind the store's back."""
    _behind(path, "UPDATE audit SET line = replace(line, 'retry', 'relax') WHERE seq = ?", seq)


def forget(path: Path, seq: int) -> None:
    """Cut the chain behind one entry, as an old backup would."""
    _behind(path, "DELETE FROM audit WHERE seq > ?", seq)


def _behind(path: Path, statement: str, seq: int) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute(statement, (seq,))
