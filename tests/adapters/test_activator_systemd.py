"""Activation of systemd units: with a real systemd where one can run, and everywhere with a stand-in for systemctl."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from reconciler.activators.systemd import create, in_words
from reconciler.core.delivery import render
from reconciler.core.running import ActivateSpec
from reconciler.errors import PolicyDenied, Reason, Terminal
from reconciler.machine.clock import SystemClock
from reconciler.model import EnvironmentName
from reconciler.ports import Activator
from tests.core.test_delivery import VALUES
from tests.jobs import PROD, SECRET, failure, job, parts
from tests.systemds import Manager, missing, stand_in, systemd

EVERYTHING = {"scope": "user", "allow": [{"units": ["*"], "environments": ["*"]}]}


@pytest.fixture(scope="module")
def real() -> Iterator[Manager]:
    if why := missing():
        pytest.skip(f"no systemd can run here: {why}")
    with systemd() as manager:
        yield manager


@pytest.fixture(params=["real", "stand-in"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with ExitStack() as stack:
        if request.param == "real":
            found: Manager = request.getfixturevalue("real")
        else:
            found = stack.enter_context(stand_in(tmp_path / "systemd"))
        lead_there(found, monkeypatch)
        yield found


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    with stand_in(tmp_path / "systemd") as manager:
        lead_there(manager, monkeypatch)
        yield manager


def lead_there(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in manager.variables.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def activator(tmp_path: Path) -> Activator:
    return create(EVERYTHING, parts(tmp_path))


def unit(name: str, *, within: str = "20s", reload: bool = False) -> ActivateSpec:
    return ActivateSpec.model_validate({"systemd": name, "within": within, "reload": reload})


def test_a_unit_is_started_and_then_runs(manager: Manager, activator: Activator, tmp_path: Path) -> None:
    manager.unit("good.service", "exec sleep 1000")
    assert activator.activate(unit("good.service"), job(tmp_path)) == ""
    assert activator.trouble(PROD, unit("good.service")) == ""


def test_a_unit_that_does_not_start_is_told_with_its_state(
    manager: Manager, activator: Activator, tmp_path: Path
) -> None:
    manager.unit("bad.service", "exit 3", "Type=oneshot")
    error = failure(activator, unit("bad.service"), job(tmp_path))
    assert error.message.startswith(
        "the systemd unit bad.service is failed (failed, exit-code, status 3): Job for bad.service failed"
    )
    assert error.hint == "look at journalctl --user --unit bad.service"
    assert activator.trouble(PROD, unit("bad.service")) == "bad.service is failed (failed, exit-code, status 3)"


def test_a_unit_that_is_not_there_is_told_as_such(manager: Manager, activator: Activator, tmp_path: Path) -> None:
    error = failure(activator, unit("absent.service"), job(tmp_path))
    assert error.message.startswith("the systemd unit absent.service can't be loaded (not-found): Failed to restart")
    assert activator.trouble(PROD, unit("absent.service")) == "absent.service can't be loaded (not-found)"


def test_nobody_waits_beyond_the_deadline(manager: Manager, activator: Activator, tmp_path: Path) -> None:
    manager.unit("hanging.service", "sleep 1000", "Type=oneshot")
    error = failure(activator, unit("hanging.service", within="1s"), job(tmp_path))
    assert error.message == "the systemd unit hanging.service did not end within 1s, and was stopped"


# --- what only a real one can show ---------------------------------------------------------------


@pytest.fixture
def really(real: Manager, monkeypatch: pytest.MonkeyPatch) -> Manager:
    lead_there(real, monkeypatch)
    return real


def test_a_restart_takes_the_place_of_what_runs(really: Manager, activator: Activator, tmp_path: Path) -> None:
    really.unit("again.service", f"echo $$ >> {tmp_path}/pids; exec sleep 1000", "Type=exec")
    for _ in range(2):
        activator.activate(unit("again.service"), job(tmp_path))
    pids: list[str] = []
    while len(pids) < 2:  # it counts as started before its first line has run
        pids = (tmp_path / "pids").read_text().split() if (tmp_path / "pids").exists() else []
    assert len(set(pids)) == 2


def test_a_reload_starts_what_is_stopped_and_then_only_reloads(
    really: Manager, activator: Activator, tmp_path: Path
) -> None:
    really.unit("re.service", "exec sleep 1000", "Type=exec", f"ExecReload=/bin/touch {tmp_path}/reloaded")
    activator.activate(unit("re.service", reload=True), job(tmp_path))
    assert not (tmp_path / "reloaded").exists()
    activator.activate(unit("re.service", reload=True), job(tmp_path))
    assert (tmp_path / "reloaded").exists()


def test_a_unit_that_does_its_work_and_ends_is_no_trouble(
    really: Manager, activator: Activator, tmp_path: Path
) -> None:
    really.unit("once.service", "true", "Type=oneshot")
    activator.activate(unit("once.service"), job(tmp_path))
    assert activator.trouble(PROD, unit("once.service")) == ""


def test_a_unit_that_crashed_too_often_can_be_started_again_at_once(
    really: Manager, activator: Activator, tmp_path: Path
) -> None:
    flag = tmp_path / "mended"
    script = f"test -e {flag} && exec sleep 1000; exit 1"
    really.unit("crashing.service", script, "Restart=always", "RestartSec=10ms")
    spec = unit("crashing.service")
    clock = SystemClock()
    deadline = clock.monotonic() + 20
    with suppress(Terminal):  # whether its first crash is seen by then is a matter of luck
        activator.activate(spec, job(tmp_path))
    while not activator.trouble(PROD, spec).startswith("crashing.service is failed"):
        assert clock.monotonic() < deadline
        threading.Event().wait(0.02)
    flag.touch()
    activator.activate(spec, job(tmp_path))
    assert activator.trouble(PROD, spec) == ""


def test_systemd_reads_the_delivered_file_back_exactly(really: Manager, activator: Activator, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(render(VALUES))
    more = (f"EnvironmentFile={tmp_path}/file", f"StandardOutput=file:{tmp_path}/found", "Type=oneshot")
    really.unit("reads.service", "exec env -0", *more)
    activator.activate(unit("reads.service"), job(tmp_path))
    pairs = (entry.partition("=") for entry in (tmp_path / "found").read_bytes().decode().split("\0"))
    found = {name: value for name, _, value in pairs}
    assert {name: found.get(name) for name in VALUES} == VALUES


# --- what only a stand-in can be made to answer --------------------------------------------------


def test_it_asks_nobody_for_a_password_and_takes_no_unit_for_an_option(
    fake: Manager, activator: Activator, tmp_path: Path
) -> None:
    fake.unit("good.service", "true")
    activator.activate(unit("good.service", reload=True), job(tmp_path))
    calls = (fake.folder / "calls").read_text().splitlines()
    assert [call.removeprefix("--user --no-ask-password --no-pager ") for call in calls] == [
        "reset-failed -- good.service",
        "reload-or-restart -- good.service",
        "show --property LoadState,ActiveState,SubState,Result,ExecMainStatus,Type -- good.service",
    ]


def test_a_refusal_of_polkit_comes_with_what_to_do(fake: Manager, activator: Activator, tmp_path: Path) -> None:
    (fake.folder / "before").write_text(
        "test $verb = show || { echo 'Failed to restart x: Interactive authentication required.' >&2; exit 1; }\n"
    )
    error = failure(activator, unit("x.service"), job(tmp_path))
    assert "a rule of polkit for org.freedesktop.systemd1.manage-units" in error.hint


def test_a_secret_in_what_systemctl_says_is_masked(fake: Manager, activator: Activator, tmp_path: Path) -> None:
    fake.unit("good.service", f"echo got {SECRET}; exit 1")
    error = failure(activator, unit("good.service"), job(tmp_path, {}, frozenset({SECRET})))
    assert "got ***" in error.message


def test_a_systemd_that_does_not_answer_is_no_trouble_of_the_unit(fake: Manager, activator: Activator) -> None:
    (fake.folder / "before").write_text("exit 1\n")
    assert activator.trouble(PROD, unit("x.service")) == ""


def test_without_systemctl_it_is_told_what_is_missing(
    activator: Activator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = failure(activator, unit("x.service"), job(tmp_path))
    assert error.message == "systemctl can't be started: No such file or directory"
    assert "a machine with systemd" in error.hint
    assert activator.trouble(PROD, unit("x.service")) == ""


@pytest.mark.parametrize(
    ("active", "sub", "result", "said"),
    [
        ("active", "running", "success", ""),
        ("reloading", "reload", "success", ""),
        ("activating", "start", "success", ""),
        ("activating", "auto-restart", "exit-code", "is activating (auto-restart, exit-code, status 3)"),
        ("inactive", "dead", "success", "is inactive (dead, status 3)"),
        ("deactivating", "stop-sigterm", "success", "is deactivating (stop-sigterm, status 3)"),
        ("failed", "failed", "core-dump", "is failed (failed, core-dump, status 3)"),
        ("", "", "", ""),
    ],
)
def test_a_unit_s_state_is_told_in_words(active: str, sub: str, result: str, said: str) -> None:
    state = {"ActiveState": active, "SubState": sub, "Result": result, "ExecMainStatus": "3", "Type": "simple"}
    assert in_words(state) == said


# --- what the operator allows ------------------------------------------------------------------


def test_only_named_units_are_allowed_and_only_to_their_environments(tmp_path: Path) -> None:
    made = create({"allow": [{"units": ["shop-*.service"], "environments": ["shop/*"]}]}, parts(tmp_path))
    made.allow(PROD, unit("shop-web.service"))
    for environment, name in (
        ("shop/prod", "sshd.service"),
        ("shop/prod", "shop-web.socket"),
        ("dev", "shop-web.service"),
    ):
        with pytest.raises(PolicyDenied) as refused:
            made.allow(EnvironmentName(environment), unit(name))
        assert refused.value.reason is Reason.ACTIVATION_NOT_ALLOWED
        assert (
            f'activators.systemd.allow: {{"units": ["{name}"], "environments": ["{environment}"]}}'
            in refused.value.hint
        )


def test_nothing_is_allowed_by_default_and_nothing_is_called(fake: Manager, tmp_path: Path) -> None:
    with pytest.raises(PolicyDenied):
        create({}, parts(tmp_path)).activate(unit("good.service"), job(tmp_path))
    assert not (fake.folder / "calls").exists()
