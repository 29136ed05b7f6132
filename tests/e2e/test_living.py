"""Real services under the real daemon: upgraded, asked for their health, rolled back, healed and restarted.

Most of them share one yard: what goes wrong with one is nobody else's matter. What is told of each is its story: every
attempt that began, with its one outcome.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from reconciler.errors import Reason
from reconciler.model import DriftKind
from reconciler.targets import records
from reconciler.targets.layout import ReleaseId
from tests.canaries import forms, leaks, listed
from tests.cliworld import cli
from tests.living import LIMIT, SECRETS, Service, Yard, one_outcome_each, supervised
from tests.living import yard as living
from tests.site import eventually
from tests.supervisord import Supervisord

SOON = "1s"
"""As `within` of a run that is to fail."""
CRASHING = "crashing"
STOPPED = "stopped"
BY_SUPERVISORD = ("supervised", CRASHING, STOPPED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("living") / "yard"


@pytest.fixture(scope="module")
def supervisor(folder: Path) -> Iterator[Supervisord]:
    with supervised(folder, *BY_SUPERVISORD) as found:
        yield found


@pytest.fixture(scope="module")
def yard(folder: Path, supervisor: Supervisord) -> Iterator[Yard]:
    activators: dict[str, object] = {
        "command": {"allow": [{"argv": ["./restart"], "environments": ["*"]}]},
        "supervisor": {"url": supervisor.url, "allow": [{"programs": ["*"], "environments": ["*"]}]},
    }
    with living(folder, activators=activators) as found:
        yield found


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Yard]:
    """One for whoever does something to all that is in it."""
    with living(tmp_path / "yard", drift_seconds=0.1) as found:
        yield found


def _lives(yard: Yard, name: str, **extra: object) -> Service:
    """A service whose run 1 is live and well."""
    service = yard.service(name)
    service.extra |= extra
    service.declare(1)
    service.answers(1)
    service.stands(None, 1)
    return service


def _fails(service: Service) -> None:
    """Run 2 comes, is broken, and is rolled back."""
    story = (*service.story(), "deploy 2 failed", "rollback 1 succeeded")
    service.breaks(2)
    service.declare(2, within=SOON)
    service.tells(*story)


# --- the whole life -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["daemonized", "supervised"])
def test_a_service_is_upgraded_rolled_back_healed_and_restarted(yard: Yard, name: str) -> None:
    extra = {"activate": {"supervisor": name, "within": "50s"}} if name in BY_SUPERVISORD else {}
    service = _lives(yard, name, **extra)
    assert service.answers(1).secrets == yard.told()
    service.declare(3)
    service.answers(3)
    service.stands(None, 3)
    service.breaks(2)
    with service.polled() as seen:
        service.until(lambda: seen == ["3"], "answer of run 3")
        service.declare(2, within=SOON)
        service.stands(Reason.HEALTH_CHECK_FAILED, 3)
        service.answers(3)
        service.tells("deploy 1 succeeded", "deploy 3 succeeded", "deploy 2 failed", "rollback 3 succeeded")
    assert seen == ["3", "2 broken", "3"], "one way there and one way back"
    assert "answered 503" in service.attempts()[-2].message

    service.declare(3)
    service.stands(None, 3)
    before = service.answers(3).pid
    (service.place / "current" / "version").write_text("by hand")
    story = (
        "deploy 1 succeeded",
        "deploy 3 succeeded",
        "deploy 2 failed",
        "rollback 3 succeeded",
        "repair 3 succeeded",
    )
    service.tells(*story)
    assert (service.place / "current" / "version").read_text() == "3"
    assert service.answers(3).pid != before, "what ran was started from files that nobody vouches for"
    service.declare(3, config=service.config(GREETING="bonjour"))
    service.answers(3, greeting="bonjour")
    service.tells(*story, "activate 3 succeeded")


def test_a_rotated_secret_restarts_those_that_use_it_and_no_others(yard: Yard) -> None:
    user = _lives(yard, "rotating")
    other = _lives(yard, "secretless", secrets={})
    pid = other.answers(1).pid
    yard.rotate("another canary-2\nof two lines")
    user.answers(1, secrets=yard.told())
    user.tells("deploy 1 succeeded", "activate 1 succeeded")
    assert other.answers(1).pid == pid
    assert other.story() == ["deploy 1 succeeded"]


# --- health that fails --------------------------------------------------------------------------------


def test_hold_leaves_what_failed_live_until_somebody_says_retry(yard: Yard) -> None:
    service = _lives(yard, "holding")
    service.breaks(2)
    service.declare(2, within=SOON, rollback="hold")
    service.stands(Reason.HEALTH_CHECK_FAILED, 2)
    yard.polls(3)
    service.tells("deploy 1 succeeded", "deploy 2 failed")
    yard.says("retry", service.name)
    service.tells("deploy 1 succeeded", "deploy 2 failed", "activate 2 failed")
    assert service.starts() == [1, 2, 2]
    service.mends(2)
    service.stands(None, 2)
    assert service.starts() == [1, 2, 2], "it is healthy after all, and need not be started again"


def test_what_was_rolled_back_is_tried_again_after_retry(yard: Yard) -> None:
    service = _lives(yard, "retried")
    _fails(service)
    service.mends(2)
    yard.says("retry", service.name)
    service.answers(2)
    service.stands(None, 2)
    service.tells("deploy 1 succeeded", "deploy 2 failed", "rollback 1 succeeded", "deploy 2 succeeded")


def test_a_rollback_is_not_rolled_back_in_turn(yard: Yard) -> None:
    service = _lives(yard, "hopeless")
    service.extra["health"] = {**cast("dict[str, object]", service.extra["health"]), "within": SOON}
    service.declare(1)
    service.stands(None, 1)
    service.on_activation('touch "$MOOD/break-1"')
    service.breaks(2)
    service.declare(2)
    story = ["deploy 1 succeeded", "accept 1 succeeded", "deploy 2 failed", "rollback 1 failed"]
    service.tells(*story)
    switch, starts = service.switch(), service.starts()
    yard.polls(12)
    assert (service.switch(), service.starts(), service.story()) == (switch, starts, story)
    assert starts == [1, 2, 1]
    service.stands(Reason.HEALTH_CHECK_FAILED, 1, health="Degraded")


def test_a_rollback_that_can_not_be_activated_is_tried_once(yard: Yard) -> None:
    service = _lives(yard, "stuck")
    service.on_activation("case $RECONCILER_RELEASE in 1-*) exit 1;; esac")
    service.breaks(2)
    service.declare(2, within=SOON)
    story = ["deploy 1 succeeded", "deploy 2 failed", "rollback 1 failed"]
    service.tells(*story)
    yard.polls(8)
    assert (service.story(), service.starts()) == (story, [1, 2, 1])


def test_a_service_that_crashes_under_supervisord_is_rolled_back_in_its_time(yard: Yard) -> None:
    service = _lives(yard, CRASHING, activate={"supervisor": CRASHING, "within": "50s"})
    service.crashes(2)
    service.declare(2, within="2s")
    service.stands(Reason.HEALTH_CHECK_FAILED, 1)
    service.answers(1)
    service.tells("deploy 1 succeeded", "deploy 2 failed", "rollback 1 succeeded")


def test_a_declared_rollback_after_the_automatic_one_settles_it(yard: Yard) -> None:
    service = _lives(yard, "declared")
    _fails(service)
    pid = service.answers(1).pid
    service.declare(1)
    service.stands(None, 1)
    service.tells("deploy 1 succeeded", "deploy 2 failed", "rollback 1 succeeded")
    assert service.answers(1).pid == pid, "nothing had to be restarted"


def test_a_rollback_that_people_declare_is_activated(yard: Yard) -> None:
    service = _lives(yard, "older")
    service.declare(2)
    service.stands(None, 2)
    service.declare(1)
    service.answers(1)
    service.stands(None, 1)
    service.tells("deploy 1 succeeded", "deploy 2 succeeded", "rollback 1 succeeded")


def test_a_tip_that_moves_on_takes_the_place_of_what_is_on_probation(yard: Yard) -> None:
    service = _lives(yard, "overtaken")
    service.breaks(2)
    service.declare(2)
    service.stands(None, 2, health="Progressing")
    service.declare(3)
    service.answers(3)
    service.stands(None, 3)
    service.tells("deploy 1 succeeded", "deploy 2 interrupted", "deploy 3 succeeded")
    service.declare(2, within=SOON)
    service.stands(Reason.HEALTH_CHECK_FAILED, 3)
    story = ("deploy 1 succeeded", "deploy 2 interrupted", "deploy 3 succeeded")
    service.tells(*story, "deploy 2 failed", "rollback 3 succeeded")


def test_what_is_suspended_on_probation_is_left_alone_until_resume(yard: Yard) -> None:
    service = _lives(yard, "paused")
    service.breaks(2)
    service.on_activation('while [ ! -e "$MOOD/go" ]; do sleep 0.02; done')
    service.declare(2, within=SOON)
    service.until(lambda: service.starts() == [1, 2], "activation")
    yard.says("suspend", service.name, "--reason", "looking at it")
    (service.mood / "go").touch()
    service.stands(Reason.SUSPENDED, 2, health="Degraded")
    yard.polls(3)
    assert service.story() == ["deploy 1 succeeded", "deploy 2 goes on"]
    assert service.starts() == [1, 2]
    yard.says("resume", service.name)
    service.stands(Reason.HEALTH_CHECK_FAILED, 1)
    service.tells("deploy 1 succeeded", "deploy 2 failed", "rollback 1 succeeded")


# --- activation that fails ----------------------------------------------------------------------------

_FAILING = {
    "refusing": ("echo no room >&2; exit 1", "ended with 1"),
    "hanging": ("echo waits; sleep 1000", "within 1s"),
    "flooding": ('yes "$SECRET_A" | head -c 3000000; echo the end; exit 1', "the end"),
    "leaving": ("sleep 1000 & echo $! >$MOOD/child; exit 1", "ended with 1"),
}


def test_an_activation_that_fails_is_rolled_back_however_it_fails(yard: Yard) -> None:
    services = {name: _lives(yard, name) for name in _FAILING}
    files: dict[str, str] = {}
    for name, service in services.items():
        service.on_activation(f"case $RECONCILER_RELEASE in 2-*) {_FAILING[name][0]};; esac")
        files |= service.file(2, activate={"command": ["./restart"], "within": SOON})
    yard.merge(files)
    for name, service in services.items():
        service.stands(Reason.ACTIVATION_FAILED, 1)
        service.answers(1)
        service.tells("deploy 1 succeeded", "deploy 2 failed", "rollback 1 succeeded")
        failed = service.attempts()[1]
        assert _FAILING[name][1] in failed.message, failed
        assert len(failed.message) < 20_000
    child = int((services["leaving"].mood / "child").read_text())
    eventually(lambda: not _runs(child), LIMIT)


def _runs(pid: int) -> bool:
    file = Path(f"/proc/{pid}/stat")
    return file.exists() and file.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_missing_secret_holds_before_the_switch_and_names_only_its_name(yard: Yard) -> None:
    service = _lives(yard, "unkeyed")
    before = service.answers(1).pid
    references = {**yard.references(service.name), "SECRET_D": {"file": str(yard.folder / "absent")}}
    service.declare(2, secrets=references)
    status = service.stands(Reason.SECRET_MISSING, 1)
    assert "SECRET_D" in status.message
    assert "absent" not in status.message
    assert (service.answers(1).pid, service.starts()) == (before, [1])
    (yard.folder / "absent").touch(mode=0o600)
    (yard.folder / "absent").write_text("there it is")
    service.answers(2)
    service.tells("deploy 1 succeeded", "deploy 2 succeeded")


# --- kill -9 ------------------------------------------------------------------------------------------


def test_a_kill_between_switch_and_activation_is_mended_by_the_next_start(yard: Yard) -> None:
    service = _lives(yard, "killed-early")
    service.on_activation('rm "$MOOD/activation"; kill -9 $PPID; exit 1')
    service.declare(2)
    yard.dies("the activation command")
    assert service.place.joinpath("current").resolve().name.startswith("2-")
    service.answers(1)
    yard.begin()
    service.answers(2)
    service.stands(None, 2)
    assert service.story()[-1].endswith("2 succeeded")
    assert service.story().count("deploy 2 interrupted") + service.story().count("deploy 2 succeeded") == 1
    one_outcome_each(yard)


def test_a_kill_before_an_activation_that_fails_leaves_the_way_back_open(yard: Yard) -> None:
    service = _lives(yard, "killed-and-failing")
    kills = 'test -e "$MOOD/killed" || { touch "$MOOD/killed"; kill -9 $PPID; }'
    service.on_activation(f"case $RECONCILER_RELEASE in 2-*) {kills}; exit 1;; esac")
    service.declare(2)
    yard.dies("the activation command")
    yard.begin()
    service.stands(Reason.ACTIVATION_FAILED, 1)
    service.answers(1)
    service.tells("deploy 1 succeeded", "deploy 2 interrupted", "activate 2 failed", "rollback 1 succeeded")
    assert service.starts() == [1, 2, 2, 1]
    one_outcome_each(yard)


def test_a_kill_on_probation_changes_nothing_of_how_it_ends(yard: Yard) -> None:
    failing, well = _lives(yard, "killed-failing"), _lives(yard, "killed-well")
    for service in (failing, well):
        service.breaks(2)
    yard.merge({**failing.file(2, within="4s"), **well.file(2)})
    for service in (failing, well):
        service.stands(None, 2, health="Progressing")
    yard.dies()
    well.mends(2)
    yard.begin()
    failing.stands(Reason.HEALTH_CHECK_FAILED, 1)
    failing.answers(1)
    failing.tells("deploy 1 succeeded", "deploy 2 failed", "rollback 1 succeeded")
    well.stands(None, 2)
    well.tells("deploy 1 succeeded", "deploy 2 succeeded")
    assert (failing.starts(), well.starts()) == ([1, 2, 1], [1, 2])
    one_outcome_each(yard)


def test_a_kill_in_the_middle_of_a_rollback_is_carried_on_by_the_next_start(yard: Yard) -> None:
    service = _lives(yard, "killed-late")
    armed = 'case $RECONCILER_RELEASE in 1-*) rm "$MOOD/activation"; kill -9 $PPID; exit 1;; esac'
    service.on_activation(armed)
    service.breaks(2)
    service.declare(2, within=SOON)
    yard.dies("the activation of the rollback")
    yard.begin()
    service.stands(Reason.HEALTH_CHECK_FAILED, 1)
    service.answers(1)
    service.until(lambda: service.story()[-1] == "rollback 1 succeeded" or "activate 1 succeeded", "end")
    yard.polls(4)
    assert service.starts() == [1, 2, 1, 1]
    assert service.story()[:2] == ["deploy 1 succeeded", "deploy 2 failed"], service.story()
    assert not any("goes on" in one for one in service.story()), service.story()
    one_outcome_each(yard)


def test_what_failed_is_not_tried_again_by_a_daemon_that_lost_its_store(small: Yard) -> None:
    """Also after what was gone back to was mended, or could not be activated."""
    yard = small
    well, mended, stuck = (_lives(yard, name) for name in ("forgotten", "mended", "forgotten-stuck"))
    stuck.on_activation("case $RECONCILER_RELEASE in 1-*) exit 1;; esac")
    files: dict[str, str] = {}
    for service in (well, mended, stuck):
        service.breaks(2)
        files |= service.file(2, within=SOON)
    yard.merge(files)
    for service in (well, mended):
        service.tells("deploy 1 succeeded", "deploy 2 failed", "rollback 1 succeeded")
    stuck.tells("deploy 1 succeeded", "deploy 2 failed", "rollback 1 failed")
    _content(mended)
    mended.tells("deploy 1 succeeded", "deploy 2 failed", "rollback 1 succeeded", "repair 1 succeeded")
    yard.dies()
    yard.loses_its_store()
    yard.begin()
    for service in (well, mended, stuck):
        service.stands(Reason.HEALTH_CHECK_FAILED, 1)
    yard.polls(4)
    assert (well.starts(), mended.starts()) == ([1, 2, 1], [1, 2, 1, 1])
    assert stuck.starts() == [1, 2, 1, 1], "whether it was tried to go back, nobody remembers"
    assert not any("2" in one for service in (well, mended, stuck) for one in service.story())
    well.declare(3)
    well.answers(3)
    well.stands(None, 3)


# --- drift --------------------------------------------------------------------------------------------


def _content(service: Service) -> str:
    (service.place / "current" / "lib" / "a").write_text("b")
    return "lib/a"


def _mode(service: Service) -> str:
    (service.place / "current" / "restart").chmod(0o600)
    return "restart"


def _foreign(service: Service) -> str:
    (service.place / "current" / "lib" / "foreign").write_text("x")
    return "lib/foreign"


def _missing(service: Service) -> str:
    (service.place / "current" / "lib" / "a").unlink()
    return "lib/a"


def _moved(service: Service) -> str:
    (service.place / "new").symlink_to("releases")
    (service.place / "new").rename(service.place / "current")
    return "current"


_DRIFTS: dict[DriftKind, Callable[[Service], str]] = {
    DriftKind.CONTENT: _content,
    DriftKind.MODE: _mode,
    DriftKind.FOREIGN: _foreign,
    DriftKind.MISSING: _missing,
    DriftKind.LINK: _moved,
}


def test_every_kind_of_drift_is_found_by_the_fast_cycle_named_and_mended(yard: Yard) -> None:
    services = {kind: yard.service(f"drift-{kind.value}") for kind in _DRIFTS}
    yard.merge({path: text for service in services.values() for path, text in service.file(1).items()})
    for service in services.values():
        service.stands(None, 1)
    paths = {kind: _DRIFTS[kind](service) for kind, service in services.items()}
    for kind, service in services.items():
        action = "deploy" if kind is DriftKind.LINK else "repair"  # nothing is live where the link leads nowhere
        service.tells("deploy 1 succeeded", f"{action} 1 succeeded")
        service.stands(None, 1)
        assert service.attempts()[-1].message == f"drift: {kind.value} {paths[kind]}"
        service.answers(1)
        live = service.place / "current"
        assert (live / "lib" / "a").read_text() == "a"
        assert os.access(live / "restart", os.X_OK)
        assert not (live / "lib" / "foreign").exists()
        assert live.resolve().parent == (service.place / "releases").resolve()


def test_a_link_that_somebody_moved_to_an_older_release_is_named_and_moved_back(yard: Yard) -> None:
    service = _lives(yard, "moved")
    old = (service.place / "current").readlink()
    service.declare(2)
    service.stands(None, 2)
    (service.place / "new").symlink_to(old)
    (service.place / "new").rename(service.place / "current")
    service.tells("deploy 1 succeeded", "deploy 2 succeeded", "deploy 2 succeeded")
    service.stands(None, 2)
    service.answers(2)
    assert service.attempts()[-1].message == f"current led to {old.name}"


def test_a_program_that_somebody_stopped_is_started_again(yard: Yard, supervisor: Supervisord) -> None:
    service = _lives(yard, STOPPED, activate={"supervisor": STOPPED, "within": "50s"})
    supervisor.tell("stop", STOPPED)
    service.tells("deploy 1 succeeded", "repair 1 succeeded")
    assert service.attempts()[-1].message == f"drift: unit {STOPPED}"
    service.answers(1)
    service.stands(None, 1)


def test_drift_is_only_reported_where_that_is_declared(yard: Yard) -> None:
    service = _lives(yard, "reporting", drift="report")
    path = _content(service)
    service.until(lambda: service.drift() == [path], "drift")
    yard.polls(3)
    assert service.story() == ["deploy 1 succeeded"]
    assert (service.place / "current" / path).read_text() == "b"
    assert path in yard.says("why", service.name)
    service.declare(1, drift="repair")
    service.until(lambda: (service.place / "current" / path).read_text() == "a", "repair")


def test_drift_that_comes_back_is_mended_a_few_times_and_then_reported(yard: Yard) -> None:
    service = _lives(yard, "fought-over")
    for count in range(3):
        _content(service)
        service.tells("deploy 1 succeeded", *["repair 1 succeeded"] * (count + 1))
        service.stands(None, 1)
    _content(service)
    service.until(service.drift, "drift that stays")
    yard.polls(3)
    assert service.story() == ["deploy 1 succeeded", *["repair 1 succeeded"] * 3]
    assert "came back too often, the next repair is at" in yard.says("why", service.name)


def test_a_bit_that_flips_beneath_the_file_system_is_found_by_the_slow_cycle_alone(tmp_path: Path) -> None:
    """Its times stay as they were: here the manifest is given those of the damaged file, which comes to the same."""
    with living(tmp_path / "yard", drift_watch=False, drift_seconds=0.1) as yard:
        service = _lives(yard, "flipped")
        _flip(service.place, "lib/a")
        yard.looks(4)
        assert service.story() == ["deploy 1 succeeded"]
        assert (service.place / "current" / "lib" / "a").read_text() == "b"
        yard.dies()
        yard.configure(rehash_seconds=1)
        yard.begin()
        service.tells("deploy 1 succeeded", "repair 1 succeeded")
        assert service.attempts()[-1].message == "drift: content lib/a"
        assert (service.place / "current" / "lib" / "a").read_text() == "a"
        service.answers(1)


def _flip(place: Path, path: str) -> None:
    release = (place / "current").readlink().name
    damaged = place / "current" / path
    damaged.write_text("b")
    times = damaged.stat()
    record = place / ".reconciler" / "manifests" / f"{release}.json"
    head = records.decode_head(record.read_bytes(), cast("ReleaseId", ReleaseId.parse(release)))
    items = [
        item._replace(mtime_ns=times.st_mtime_ns, ctime_ns=times.st_ctime_ns) if item.path == path else item
        for item in records.decode_items(record.read_bytes(), head)
    ]
    record.write_bytes(records.encode_manifest(head.release, head.sha256, head.unpack, head.sequence, items))


# --- canaries -----------------------------------------------------------------------------------------

_FORMS = ("table", "wide", "json", "yaml", "name")


def test_no_secret_is_anywhere_but_where_it_is_delivered(tmp_path: Path) -> None:
    """A life with everything that goes wrong in it, by a command that prints each secret and hands them on."""
    folder = tmp_path / "yard"
    allowed: dict[str, object] = {"allow": [{"argv": ["./restart"], "environments": ["*"], "process": True}]}
    values = {**SECRETS, "rotated": "rotated canary-4 'of' \"two\"\nlines canary-4 ✗ %"}
    canaries = forms(values.values())
    with listed() as argument_lists, living(folder, activators={"command": allowed}) as yard:
        service = yard.service("shop")
        service.extra["activate"] = {"command": ["./restart"], "within": "50s", "deliver": "both"}
        _misfortunes(yard, service, values["rotated"])
        told = {name: text.encode() for name, text in _everything_told(yard).items()}
        assert b"SECRET_C=***" in told["describe shop -o json"], "what was printed is kept, but for the values"
        delivered = service.place / ".reconciler" / "environment"
        assert delivered.stat().st_mode & 0o777 == 0o600
        assert SECRETS["SECRET_A"][:12].encode() in delivered.read_bytes()
        kept = {delivered, yard.secret_file}
        for file in folder.rglob("*"):
            if file.is_file() and file not in kept:
                told[str(file)] = file.read_bytes()
        yard.dies()
    told["argument lists"] = b"\n".join(argument_lists)
    assert b"service.py" in told["argument lists"], "the poller sees what runs"
    found = {name: leaks(text, canaries) for name, text in told.items()}
    assert {name: canaries for name, canaries in found.items() if canaries} == {}


def _misfortunes(yard: Yard, service: Service, rotated: str) -> None:
    """Everything that may go wrong, with the secrets printed in many ways each time."""
    prints = 'printf "%s|" "$SECRET_A" "$SECRET_B" "$SECRET_C"; env; printf %s "$SECRET_B" | base64 -w0; env >&2; '
    service.on_activation(prints)
    service.declare(1)
    service.answers(1, secrets=yard.told())
    service.stands(None, 1)
    _fails(service)
    yard.rotate(rotated)
    service.declare(3)
    service.answers(3, secrets=yard.told())
    service.stands(None, 3)
    kills = 'test -e "$MOOD/killed" || { touch "$MOOD/killed"; kill -9 $PPID; }'
    service.on_activation(f"{prints} case $RECONCILER_RELEASE in 2-*) {kills}; exit 1;; esac")
    service.declare(2)
    yard.dies("the activation command")
    yard.begin()
    service.stands(Reason.ACTIVATION_FAILED, 3)
    service.answers(3)
    service.declare(1, secrets={**yard.references(service.name), "SECRET_D": {"env": "ABSENT"}})
    service.stands(Reason.ACTIVATION_NOT_ALLOWED)


def _everything_told(yard: Yard) -> dict[str, str]:
    """What each command and page says."""
    commands = [
        [command, "shop", "-o", form] for command in ("describe", "history", "why", "events") for form in _FORMS
    ]
    commands += [["get", "-o", form] for form in _FORMS]
    commands += [["history", "shop", "-o", "csv"], ["audit", "export"], ["diff", "shop"], ["check"]]
    told = {" ".join(command): cli("-c", str(yard.settings_file), *command).output for command in commands}
    assert all(told.values()), told
    return {**told, "metrics": yard.metrics()}
