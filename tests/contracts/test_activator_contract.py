"""What every activator does, whatever it starts: run against real programs, a supervisord, and systemctl's stand-in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.activators import command, supervisor, systemd
from reconciler.core.running import ActivateSpec
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import EnvironmentName
from reconciler.ports import Activator, Parts
from tests.jobs import PROD, SECRET, failure, job, parts, release
from tests.supervisord import supervisord
from tests.systemds import stand_in

Create = Callable[[Mapping[str, object], Parts], Activator]


@dataclass(frozen=True)
class Ground:
    """One way of starting things."""

    create: Create
    options: Mapping[str, object]
    rule: Mapping[str, object]
    good: ActivateSpec
    bad: ActivateSpec
    """It fails, and prints the secret."""
    folder: Path

    def activator(self, *environments: str) -> Activator:
        """One that allows its rule to these."""
        allow = [{**self.rule, "environments": environments}] if environments else []
        return self.create({**self.options, "allow": allow}, parts(self.folder))


def commands(folder: Path, _: ExitStack, __: pytest.MonkeyPatch) -> Ground:
    release(folder, good="true", bad=f"echo key {SECRET}; exit 1")
    rule = {"argv": ["./bin/*"]}
    good, bad = (ActivateSpec.model_validate({"command": (f"./bin/{name}",)}) for name in ("good", "bad"))
    return Ground(command.create, {}, rule, good, bad, folder)


def programs(folder: Path, stack: ExitStack, _: pytest.MonkeyPatch) -> Ground:
    (folder / "bad").write_text(f"echo key {SECRET} >&2; exit 1")
    known = {"good": {"command": "/bin/sleep 1000"}, "bad": {"command": f"/bin/sh {folder}/bad", "startsecs": "1"}}
    running = stack.enter_context(supervisord(folder, known))
    good, bad = (ActivateSpec.model_validate({"supervisor": name}) for name in ("good", "bad"))
    return Ground(supervisor.create, {"url": running.url}, {"programs": ["*"]}, good, bad, folder)


def units(folder: Path, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> Ground:
    manager = stack.enter_context(stand_in(folder / "systemd"))
    for name, value in manager.variables.items():
        monkeypatch.setenv(name, value)
    manager.unit("good.service", "exec sleep 1000")
    manager.unit("bad.service", f"echo key {SECRET}; exit 1")
    good, bad = (ActivateSpec.model_validate({"systemd": f"{name}.service"}) for name in ("good", "bad"))
    return Ground(systemd.create, {}, {"units": ["*.service"]}, good, bad, folder)


@pytest.fixture(params=[commands, programs, units], ids=["command", "supervisor", "systemd"])
def ground(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    with ExitStack() as stack:
        yield request.param(tmp_path, stack, monkeypatch)


def test_what_is_allowed_is_started_and_can_be_started_again(ground: Ground) -> None:
    activator = ground.activator("shop/*")
    activator.allow(PROD, ground.good)
    for _ in range(2):
        activator.activate(ground.good, job(release(ground.folder)))
        assert activator.trouble(PROD, ground.good) == ""


def test_what_fails_is_told_without_the_secrets_that_it_printed(ground: Ground) -> None:
    work = job(release(ground.folder), {"PASSWORD": SECRET}, frozenset({SECRET}))
    error = failure(ground.activator("*"), ground.bad, work)
    assert "key ***" in error.message
    assert error.message.isprintable()
    assert SECRET not in error.message + error.hint


def test_after_a_failure_the_next_one_may_come_off(ground: Ground) -> None:
    activator = ground.activator("*")
    failure(activator, ground.bad, job(release(ground.folder)))
    activator.activate(ground.good, job(release(ground.folder)))


def test_nothing_is_allowed_that_no_rule_names_and_nothing_is_started(ground: Ground) -> None:
    for activator in (ground.activator(), ground.activator("other", "shop")):
        for environment in (PROD, EnvironmentName("shop/dev")):
            with pytest.raises(PolicyDenied) as refused:
                activator.allow(environment, ground.good)
            assert refused.value.reason is Reason.ACTIVATION_NOT_ALLOWED
            assert f"activators.{ground.good.kind}.allow" in refused.value.hint
        with pytest.raises(PolicyDenied):
            activator.activate(ground.good, job(release(ground.folder)))
