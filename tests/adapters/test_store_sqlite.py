"""The SQLite store's quirks: its file, its schema, what it does not write, and what it says when it can't."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from reconciler.core import audit
from reconciler.errors import Reason, ReconcilerError, Terminal, Transient
from reconciler.model import CommitId, EnvironmentName, OperatorHand, Outcome, RunId, Sync
from reconciler.stores import sql, sqlite, statements, tables
from reconciler.stores.statements import TRANSITIONS_KEPT
from tests.contracts.test_store_contract import (
    ACCEPTED,
    ATTEMPT,
    CHECKPOINT,
    LATER,
    PLAN,
    POLICY,
    REWRITE,
    ROLLOUT,
    RUN,
    SOAK,
    STAGING,
    STATUS,
    Noon,
    chain,
    succeeded,
)
from tests.factories import NOON


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "state.db"


@pytest.fixture
def store(path: Path) -> Iterator[sql.SqlStore]:
    opened = sql.create(f"sqlite:///{path}", Noon(), lambda _: None)
    yield opened
    opened.close()


def execute(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """Run SQL behind the store's back."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return [row for statement in statements for row in connection.execute(statement)]


def contents(folder: Path) -> dict[str, bytes]:
    return {found.name: found.read_bytes() for found in folder.iterdir() if not found.name.endswith("-shm")}


# --- the file and its schema --------------------------------------------------------------------


def test_nothing_is_made_before_the_store_is_used(store: sql.SqlStore, path: Path) -> None:
    assert not path.parent.exists()


def test_only_its_owner_can_read_the_store(store: sql.SqlStore, path: Path) -> None:
    store.acquire("a")
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {found.stat().st_mode & 0o777 for found in path.parent.iterdir()} == {0o600}


def test_the_tables_and_the_migrations_agree(store: sql.SqlStore, path: Path) -> None:
    store.tip()
    engine = sqlite.engine_for(path)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    engine.dispose()


def test_what_must_last_is_written_through(store: sql.SqlStore, path: Path) -> None:
    store.tip()
    engine = sqlite.engine_for(path)
    with engine.connect() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        ]
    engine.dispose()
    assert values == ["wal", 2, 1, 10_000]


def test_opening_a_store_that_is_up_to_date_writes_nothing_and_needs_no_alembic(
    store: sql.SqlStore, path: Path
) -> None:
    store.acquire("a")
    store.close()
    before = contents(path.parent), path.stat().st_mtime_ns
    code = (
        "import sys; from reconciler.stores import sql\n"
        f"store = sql.create('sqlite:///{path}', None, print)\n"
        "assert store.tip() is None; store.close()\n"
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert (contents(path.parent), path.stat().st_mtime_ns) == before


def test_a_store_of_a_newer_program_is_left_alone(store: sql.SqlStore, path: Path) -> None:
    store.acquire("a")
    store.close()
    execute(path, "UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(Terminal, match="version '9999'") as refused:
        store.acquire("a")
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert "newer reconciler" in refused.value.hint
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_left_alone(store: sql.SqlStore, path: Path) -> None:
    path.parent.mkdir()
    execute(path, "CREATE TABLE music (title)")
    with pytest.raises(Terminal, match="another program: it has the table 'music'"):
        store.tip()
    assert execute(path, "SELECT name FROM sqlite_master") == [("music",)]


# --- from an older schema -----------------------------------------------------------------------


def schema(path: Path, rows_of: Path, version: str) -> None:
    """A database as one version made it, with every row of another one."""
    path.parent.mkdir(exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(Path(sql.__file__).parent / "migrations"))
    engine = sqlite.engine_for(path)
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()
    with closing(sqlite3.connect(path)) as copy, copy:
        copy.execute("ATTACH ? AS other", (str(rows_of),))
        for (table,) in copy.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            if table not in ("alembic_version", "sqlite_sequence"):
                names = ", ".join(f'"{row[1]}"' for row in copy.execute(f"PRAGMA main.table_info({table})"))
                copy.execute(f"INSERT INTO main.{table} ({names}) SELECT {names} FROM other.{table}")


@pytest.fixture
def first(path: Path, tmp_path: Path) -> Path:
    """A database of version 0001 with an attempt of each kind, and a word of the operator."""
    other = sql.create(f"sqlite:///{tmp_path}/other.db", Noon(), lambda _: None)
    before = replace(ATTEMPT, plan="")
    other.acquire("a")
    other.save_tip(CommitId("e" * 40))
    other.finish(succeeded(other.begin(before)), STATUS, ACCEPTED)
    other.refuse(before, replace(STATUS, sync=Sync.HELD))
    other.begin(before)
    other.save_hand(STAGING, OperatorHand(True), "suspend", NOON)
    other.close()
    schema(path, tmp_path / "other.db", "0001")
    return path


def test_a_store_of_the_first_schema_is_brought_up_and_keeps_everything(store: sql.SqlStore, first: Path) -> None:
    tables_of_old = "SELECT name FROM sqlite_master WHERE type = 'table'"
    assert ("soaks",) not in execute(first, tables_of_old)
    attempts = store.attempts()
    assert [(one.outcome, one.plan) for one in attempts] == [(None, ""), (Outcome.REFUSED, ""), (Outcome.SUCCEEDED, "")]
    assert attempts[2] == succeeded(replace(ATTEMPT, id=1, plan=""))
    assert store.succeeded(STAGING) == attempts[2:]
    assert (store.unfinished(), store.tip(), store.hand(STAGING)) == (attempts[:1], "e" * 40, OperatorHand(True))
    assert (store.statuses()[STAGING].sync, store.accepted(STAGING)) == (Sync.HELD, ACCEPTED)
    assert [one.sync for one in store.transitions()] == [Sync.SYNCED, Sync.HELD]
    assert [entry.kind for entry in chain(store)] == ["intent", "outcome", "refused", "intent", "operator"]
    assert (store.policy(), store.soaks(), store.rewrites(), store.checkpoints()) == (None, {}, (), ())
    assert (store.run("ci", RUN.run_id), store.told_plans(), store.told_rollouts()) == (None, {}, {})


def test_a_store_of_the_first_schema_goes_on_where_it_was(store: sql.SqlStore, first: Path) -> None:
    assert store.acquire("b") == 2
    (open_one,) = store.unfinished()
    store.finish(replace(open_one, outcome=Outcome.INTERRUPTED), STATUS, None)
    assert store.begin(ATTEMPT).id == 4
    store.accept_rewrite(REWRITE)
    assert (store.attempts()[0].plan, store.tip(), len(chain(store))) == (ATTEMPT.plan, REWRITE.tip, 8)
    test_the_tables_and_the_migrations_agree(store, first)
    with pytest.raises(sqlite3.IntegrityError, match="only ever appended to"):
        execute(first, "DELETE FROM audit")


def test_a_store_of_the_second_schema_is_brought_up_and_keeps_everything(
    store: sql.SqlStore, path: Path, tmp_path: Path
) -> None:
    other = sql.create(f"sqlite:///{tmp_path}/other.db", Noon(), lambda _: None)
    other.finish(succeeded(other.begin(ATTEMPT)), STATUS, ACCEPTED)
    other.save_soaks({STAGING: SOAK})
    other.save_policy(POLICY)
    other.accept_rewrite(REWRITE)
    other.save_checkpoint(CHECKPOINT)
    known = other.attempts()
    other.close()
    schema(path, tmp_path / "other.db", "0002")
    assert ("runs",) not in execute(path, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert (store.attempts(), store.soaks(), store.policy()) == (known, {STAGING: SOAK}, POLICY)
    assert (store.rewrites(), store.checkpoints(), len(chain(store))) == ((REWRITE,), (CHECKPOINT,), 4)
    store.save_run("ci", RUN)
    store.save_told_plan(12, PLAN)
    store.save_told_rollout(ROLLOUT, "success: live")
    assert (store.run("ci", RUN.run_id), store.told_plans()) == (RUN, {12: PLAN})
    test_the_tables_and_the_migrations_agree(store, path)


def test_a_migration_that_is_cut_leaves_the_schema_of_before(first: Path) -> None:
    def cut(step: str) -> None:
        raise OSError(5, step)

    store = sql.create(f"sqlite:///{first}", Noon(), cut)
    with closing(sqlite3.connect(first)) as connection:
        before = list(connection.iterdump())
        with pytest.raises(Transient, match="store:schema"):
            store.tip()
        store.close()
        assert list(connection.iterdump()) == before
    again = sql.create(f"sqlite:///{first}", Noon(), lambda _: None)
    assert len(chain(again)) == 5
    again.close()


# --- what is not written ------------------------------------------------------------------------


def test_a_pass_over_a_converged_environment_writes_nothing(store: sql.SqlStore, path: Path) -> None:
    store.save(STATUS, NOON)
    store.save_tip(CommitId("e" * 40))
    store.save_soaks({STAGING: SOAK})
    store.save_policy(POLICY)
    store.save_run("ci", RUN)
    store.save_told_plan(12, PLAN)
    store.save_told_rollout(ROLLOUT, "success: live")
    with closing(sqlite3.connect(path)) as watcher:
        version = watcher.execute("PRAGMA data_version").fetchone()
        before = contents(path.parent)
        for _ in range(10):
            store.save(STATUS, LATER)
            store.save_tip(CommitId("e" * 40))
            store.save_soaks({})
            store.save_soaks({STAGING: SOAK, EnvironmentName("other"): None})
            store.save_policy(replace(POLICY, accepted_at=LATER))
            store.save_run("ci", replace(RUN))
            store.save_told_plan(12, replace(PLAN))
            store.save_told_plan(99, None)
            store.save_told_rollout(ROLLOUT, "success: live")
            store.save_told_rollout("unknown", None)
            store.statuses()
            store.hand(STAGING)
            store.unfinished()
        assert watcher.execute("PRAGMA data_version").fetchone() == version
        assert contents(path.parent) == before
        store.save(replace(STATUS, message="changed"), LATER)
        assert watcher.execute("PRAGMA data_version").fetchone() != version


def test_a_pass_over_a_converged_environment_does_not_wait_for_a_writer(store: sql.SqlStore, path: Path) -> None:
    store.save(STATUS, NOON)
    store.save_soaks({STAGING: SOAK})
    store.save_policy(POLICY)
    store.accept_rewrite(REWRITE)
    store.save_checkpoint(CHECKPOINT)
    store.save_run("ci", RUN)
    store.save_told_plan(12, PLAN)
    store.save_told_rollout(ROLLOUT, "success: live")
    store.save_tip(CommitId("e" * 40))
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        store.save(STATUS, LATER)
        store.save_soaks({STAGING: SOAK})
        store.save_policy(POLICY)
        store.accept_rewrite(REWRITE)
        store.save_checkpoint(CHECKPOINT)
        store.save_run("ci", RUN)
        store.save_told_plan(12, PLAN)
        store.save_told_rollout(ROLLOUT, "success: live")
        store.save_told_plan(99, None)
        store.save_told_rollout("unknown", None)
        store.save_tip(CommitId("e" * 40))
        writer.execute("ROLLBACK")


def test_only_the_newest_transitions_of_each_environment_are_kept(store: sql.SqlStore) -> None:
    other = EnvironmentName("other")
    store.save(replace(STATUS, environment=other), NOON)
    for n in range(TRANSITIONS_KEPT + 20):
        store.save(replace(STATUS, sync=Sync.HELD if n % 2 else Sync.SYNCED), NOON)
    mine = store.transitions(STAGING, limit=10_000)
    assert len(mine) == TRANSITIONS_KEPT
    assert mine[-1].id == TRANSITIONS_KEPT + 21
    assert len(store.transitions(other)) == 1


def test_opening_and_closing_leaves_no_file_open(store: sql.SqlStore) -> None:
    store.tip()
    store.close()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        store.acquire("a")
        store.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- several at once ----------------------------------------------------------------------------


def test_a_reader_does_not_wait_for_a_writer_and_sees_the_state_before(store: sql.SqlStore, path: Path) -> None:
    store.save(STATUS, NOON)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM statuses")
        assert store.statuses() == {STAGING: STATUS}
        writer.execute("ROLLBACK")


def test_a_writer_waits_its_turn(store: sql.SqlStore, path: Path) -> None:
    store.acquire("a")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE lease SET token = 7")
        turn = threading.Timer(0.3, lambda: writer.execute("COMMIT"))
        turn.start()
        assert store.acquire("b") == 8
        turn.join()


def test_a_new_store_is_made_by_one_process_at_a_time(store: sql.SqlStore, path: Path) -> None:
    path.parent.mkdir()
    opening = threading.Thread(target=store.tip)
    with sqlite.alone(path):
        opening.start()
        opening.join(0.3)
        assert opening.is_alive()
        assert execute(path, "SELECT name FROM sqlite_master") == []
    opening.join()
    assert execute(path, "SELECT count(*) FROM lease") == [(0,)]


def test_the_database_itself_refuses_to_change_or_remove_an_audit_entry(store: sql.SqlStore, path: Path) -> None:
    store.begin(ATTEMPT)
    for statement in ("UPDATE audit SET line = ''", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever appended to"):
            execute(path, statement)
    chain(store)


@pytest.mark.parametrize("table", ["rewrites", "checkpoints"])
def test_the_database_itself_refuses_to_change_or_remove_a_row_of(store: sql.SqlStore, path: Path, table: str) -> None:
    store.accept_rewrite(REWRITE)
    store.save_checkpoint(CHECKPOINT)
    for statement in (f"UPDATE {table} SET document = ''", f"DELETE FROM {table}"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever appended to"):
            execute(path, statement)
    assert (store.rewrites(), store.checkpoints()) == ((REWRITE,), (CHECKPOINT,))


def test_what_succeeded_is_found_in_an_index(store: sql.SqlStore, path: Path) -> None:
    store.tip()
    ((*_, plan),) = execute(
        path,
        "EXPLAIN QUERY PLAN SELECT * FROM attempts WHERE environment = 'staging' AND outcome = 'succeeded'"
        " AND finished <= '2026' ORDER BY id DESC LIMIT 1",
    )
    assert "USING INDEX attempts_by_end (environment=? AND outcome=?)" in str(plan)


def test_an_audit_entry_changed_behind_the_guard_is_found(store: sql.SqlStore, path: Path) -> None:
    store.finish(succeeded(store.begin(ATTEMPT)), STATUS, None)
    execute(path, "DROP TRIGGER audit_no_update", "UPDATE audit SET line = replace(line, '#12', '#13') WHERE seq = 1")
    entries = list(store.audit())
    found = audit.verify([*map(audit.line, entries), audit.trailer(2, entries[-1].hash)])
    assert [problem.line for problem in found.problems] == [1]


# --- what it says when it can't -----------------------------------------------------------------


def as_garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 4_000)


def as_half(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def as_flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:8192] = b"\xff" * 4096
    data[100:300] = b"\xff" * 200
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [as_garbage, as_half, as_flipped], ids=["garbage", "cut in half", "flipped bytes"])
def test_a_damaged_store_says_so_and_starts_over_when_it_is_moved_away(
    store: sql.SqlStore, path: Path, damage: Callable[[Path], None]
) -> None:
    store.finish(succeeded(store.begin(ATTEMPT)), STATUS, None)
    store.close()
    damage(path)
    with pytest.raises(Transient) as refused:
        store.finish(succeeded(store.begin(ATTEMPT)), STATUS, None)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert str(path) in refused.value.message
    assert "move the file away" in refused.value.hint
    path.rename(path.with_suffix(".broken"))
    store.begin(ATTEMPT)
    assert len(chain(store)) == 1


def test_a_store_on_a_full_disk_is_neither_opened_nor_written(
    store: sql.SqlStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.acquire("a")
    real = os.statvfs(path.parent)
    values = list(real[:10])
    values[3] = values[4] = (sqlite.ROOM_BYTES - 1) // real.f_frsize  # f_bfree, f_bavail
    with monkeypatch.context() as full:
        full.setattr(os, "statvfs", lambda _: os.statvfs_result(values))
        before = contents(path.parent)
        with pytest.raises(Transient, match="the disk is full") as refused:
            store.acquire("b")
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
        assert store.statuses() == {}  # over the connection that is open
        store.close()
        with pytest.raises(Transient, match="the disk is full"):
            store.statuses()
        assert contents(path.parent).keys() <= before.keys()
    assert store.acquire("b") == 2


def test_the_reserve_of_the_disk_is_room_for_root_alone(tmp_path: Path) -> None:
    found = os.statvfs_result((4096, 1024, 1000, 500, 100, 0, 0, 0, 0, 255))
    assert (sqlite.room(found, 0), sqlite.room(found, 1000)) == (500 * 1024, 100 * 1024)
    uncounted = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
    assert sqlite.room(uncounted, 1000) >= sqlite.ROOM_BYTES


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "canary"), ValueError("canary")])
def test_what_can_not_be_decoded_is_a_damaged_store(
    store: sql.SqlStore, path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.acquire("a")

    def broken(*_: object) -> object:
        raise error

    monkeypatch.setattr(statements, "documents_of", broken)
    with pytest.raises(Transient, match="damaged") as refused:
        store.statuses()
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert "canary" not in refused.value.message


@pytest.mark.parametrize(
    ("statement", "look", "named"),
    [
        pytest.param(
            "UPDATE statuses SET document = '{}'",
            lambda store: store.statuses(),
            "row 'staging' of table statuses",
            id="a status that lacks fields",
        ),
        pytest.param(
            "UPDATE statuses SET document = replace(document, 'Synced', 'Sunk')",
            lambda store: store.statuses(),
            "row 'staging' of table statuses can't be read: sync",
            id="a status with an unknown word",
        ),
        pytest.param(
            "UPDATE hands SET document = x'ff00'",
            lambda store: store.hand(STAGING),
            "row 'staging' of table hands",
            id="a hand that is no text",
        ),
        pytest.param(
            "UPDATE attempts SET gates = '[[['",
            lambda store: store.attempts(),
            "row 1 of table attempts",
            id="an attempt whose gates are no JSON",
        ),
        pytest.param(
            "UPDATE attempts SET started = 'yesterday'",
            lambda store: store.attempts(),
            "row 1 of table attempts can't be read: started",
            id="an attempt at no time",
        ),
        pytest.param(
            "UPDATE transitions SET health = 'Fine'",
            lambda store: store.transitions(),
            "row 1 of table transitions can't be read: health",
            id="a transition with an unknown word",
        ),
        pytest.param(
            "UPDATE soaks SET document = replace(document, '299.75', '1e999')",
            lambda store: store.soaks(),
            "row 'staging' of table soaks can't be read: earned",
            id="a soak without end",
        ),
        pytest.param(
            "UPDATE policy SET document = '[]'",
            lambda store: store.policy(),
            "row 1 of table policy",
            id="a policy that is a list",
        ),
        pytest.param(
            "INSERT INTO rewrites VALUES (2, '{}')",
            lambda store: store.rewrites(),
            "row 2 of table rewrites",
            id="a rewrite that lacks fields",
        ),
        pytest.param(
            "INSERT INTO checkpoints VALUES (7, '{}')",
            lambda store: store.checkpoints(),
            "row 7 of table checkpoints",
            id="a checkpoint that lacks fields",
        ),
        pytest.param(
            "UPDATE runs SET document = replace(document, '\"on_branch\":true', '\"on_branch\":1')",
            lambda store: store.run("ci", RUN.run_id),
            "row 'ci/17243512345' of table runs can't be read: on_branch",
            id="a run that is somehow on its branch",
        ),
        pytest.param(
            "UPDATE told_plans SET document = '{}'",
            lambda store: store.told_plans(),
            "row 12 of table told_plans",
            id="a told plan that lacks fields",
        ),
        pytest.param(
            "UPDATE told_rollouts SET document = '7'",
            lambda store: store.told_rollouts(),
            f"row '{ROLLOUT}' of table told_rollouts",
            id="a told rollout that is a number",
        ),
        pytest.param(
            "INSERT INTO audit VALUES (9, 'x', 'not a line')",
            lambda store: list(store.audit()),
            "row 9 of table audit",
            id="an audit entry that is no line",
        ),
        pytest.param(
            "INSERT INTO audit VALUES (9, 'x', 'not a line')",
            lambda store: store.audit_before(),
            "row 9 of table audit",
            id="an audit entry that is no line, on a page of them",
        ),
        pytest.param(
            "INSERT INTO audit VALUES (9, 'x', 'not a line')",
            lambda store: store.audit_found([["LINE"]], before=10, over=10, limit=5),
            "row 9 of table audit",
            id="an audit entry that is no line, and is searched for",
        ),
        pytest.param(
            "UPDATE lease SET token = 'many'",
            lambda store: store.acquire("b"),
            "whole number",
            id="a token that is none",
        ),
        pytest.param(
            "UPDATE statuses SET document = CAST(x'7bff' AS TEXT)",
            lambda store: store.statuses(),
            "",
            id="a text that is not UTF-8",
        ),
        pytest.param(
            "UPDATE lease SET token = 9223372036854775807",
            lambda store: store.acquire("b"),
            "damaged: what is read from it ends in OverflowError",
            id="a token after which there is none",
        ),
        pytest.param("DROP TABLE statuses", lambda store: store.statuses(), "no such table", id="a table that is gone"),
    ],
)
def test_a_row_that_can_not_be_read_is_named(
    store: sql.SqlStore, path: Path, statement: str, look: Callable[[sql.SqlStore], object], named: str
) -> None:
    store.acquire("a")
    store.finish(succeeded(store.begin(ATTEMPT)), STATUS, None)
    store.save_hand(STAGING, OperatorHand(True), "suspend", NOON)
    store.save_soaks({STAGING: SOAK})
    store.save_policy(POLICY)
    store.save_run("ci", RUN)
    store.save_told_plan(12, PLAN)
    store.save_told_rollout(ROLLOUT, "success: live")
    execute(path, statement)
    with pytest.raises(Transient) as refused:
        look(store)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert named in refused.value.message
    assert str(path) in refused.value.message
    assert "UPDATE" not in refused.value.message
    assert "SELECT" not in refused.value.message


def test_a_status_that_can_not_be_read_heals_when_it_is_saved_anew(store: sql.SqlStore, path: Path) -> None:
    store.save(STATUS, NOON)
    execute(path, "UPDATE statuses SET document = 'broken'")
    store.save(STATUS, NOON)
    assert store.statuses() == {STAGING: STATUS}


def test_a_soak_and_a_policy_that_can_not_be_read_heal_when_they_are_saved_anew(
    store: sql.SqlStore, path: Path
) -> None:
    store.save_soaks({STAGING: SOAK})
    store.save_policy(POLICY)
    execute(path, "UPDATE soaks SET document = 'broken'", "UPDATE policy SET document = 'broken'")
    store.save_soaks({STAGING: SOAK})
    store.save_policy(POLICY)
    assert (store.soaks(), store.policy()) == ({STAGING: SOAK}, POLICY)


def test_what_was_heard_and_told_heals_when_it_is_saved_anew(store: sql.SqlStore, path: Path) -> None:
    store.tip()
    broken = [f"UPDATE {table} SET document = x'ff'" for table in ("runs", "told_plans", "told_rollouts")]
    for before in ([], broken):
        execute(path, *before)
        store.save_run("ci", RUN)
        store.save_told_plan(12, PLAN)
        store.save_told_rollout(ROLLOUT, "success: live")
    assert store.run("ci", RUN.run_id) == RUN
    assert (store.told_plans(), store.told_rollouts()) == ({12: PLAN}, {ROLLOUT: "success: live"})


def test_ten_thousand_runs_are_kept_and_one_is_found_in_an_index(store: sql.SqlStore, path: Path) -> None:
    store.save_run("ci", RUN)
    execute(
        path,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
        " INSERT INTO runs (source, run_id, document) SELECT 'ci', i, '' FROM n",
    )
    store.save_run("ci", replace(RUN, run_id=RunId(20_000)))
    assert execute(path, "SELECT count(*), min(run_id) FROM runs") == [(10_000, 2)]
    assert store.run("ci", RUN.run_id) is None
    query = "SELECT document FROM runs WHERE source = 'ci' AND run_id = 7"
    assert "USING INDEX runs_by_source" in str(execute(path, f"EXPLAIN QUERY PLAN {query}"))


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("file/state.db", id="a folder that is a file"),
        pytest.param("file/deeper/state.db", id="a folder below a file"),
        pytest.param("/proc/reconciler/state.db", id="a folder that nobody can make, root neither"),
        pytest.param("/proc/version", id="a file that nobody can write, root neither"),
        pytest.param("folder", id="a file that is a folder"),
        pytest.param("x" * 300, id="a name that is too long"),
    ],
)
def test_a_place_that_can_not_hold_a_store(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    store = sql.create(f"sqlite:///{tmp_path / place}", Noon(), lambda _: None)
    for use in (store.tip, lambda: store.acquire("a"), lambda: list(store.audit())):
        with pytest.raises(Transient) as refused:
            use()
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
        assert str(tmp_path / place) in refused.value.message
        assert refused.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:canary@db/name",
        "sqlite://user:canary@host/path",
        "sqlite:///state.db?key=canary",
        "sqlite:///file:canary?mode=memory",
        "sqlite://",
        "sqlite:///:memory:",
        "canary",
        "",
    ],
)
def test_a_url_of_another_kind_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(Terminal) as refused:
        sql.create(url, Noon(), lambda _: None)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert "sqlite:///state.db" in refused.value.hint
    assert "canary" not in f"{refused.value} {refused.value.hint} {refused.value.__cause__}"


def test_a_step_that_fails_leaves_nothing_behind(path: Path) -> None:
    def fail(step: str) -> None:
        if step == "store:outcome":
            raise OSError(5, "Input/output error")

    store = sql.create(f"sqlite:///{path}", Noon(), fail)
    begun = store.begin(ATTEMPT)
    with pytest.raises(ReconcilerError):
        store.finish(succeeded(begun), STATUS, None)
    assert (store.unfinished(), store.statuses(), len(chain(store))) == ((begun,), {}, 1)
    store.close()


# --- lost, replaced -----------------------------------------------------------------------------


def remove(path: Path) -> None:
    for found in path.parent.iterdir():
        found.unlink()


def remove_but_the_log(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("lose", [remove, remove_but_the_log], ids=["all of it", "all but the write-ahead log"])
def test_a_store_lost_under_a_running_process_begins_anew(
    store: sql.SqlStore, path: Path, lose: Callable[[Path], None]
) -> None:
    begun = store.begin(ATTEMPT)
    store.save_policy(POLICY)
    lose(path)
    with pytest.raises(Transient, match="knows nothing of its beginning"):
        store.finish(succeeded(begun), STATUS, None)
    assert (store.statuses(), store.unfinished(), store.policy()) == ({}, (), None)
    store.finish(succeeded(store.begin(ATTEMPT)), STATUS, None)
    assert len(chain(store)) == 2
    assert execute(path, "SELECT count(*) FROM audit") == [(2,)]


def test_a_store_restored_from_an_old_backup_is_used_at_once(store: sql.SqlStore, path: Path, tmp_path: Path) -> None:
    store.save_tip(CommitId("a" * 40))
    store.close()
    backup = tmp_path / "backup.db"
    backup.write_bytes(path.read_bytes())
    store.save_tip(CommitId("b" * 40))
    remove(path)
    backup.rename(path)
    assert store.tip() == "a" * 40
