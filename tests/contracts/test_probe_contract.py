"""What every probe promises, whatever it asks. An adapter joins by a `World` of its own."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.running import HealthSpec
from reconciler.errors import PolicyDenied, Reason
from reconciler.model import EnvironmentName, Probed
from reconciler.ports import Job, Parts, Probe
from reconciler.probes import command, http, tcp
from tests import jobs
from tests.adapters.servers import ScriptedServer, answer

OTHER = EnvironmentName("billing/prod")


@dataclass(frozen=True)
class World:
    """One adapter, and what it can be asked."""

    create: Callable[[Mapping[str, object], Parts], Probe]
    key: str
    rule: dict[str, Any]
    """What allows all of these, but for the environments."""
    good: dict[str, Any]
    bad: dict[str, Any]
    hanging: dict[str, Any]
    folder: Path
    asked: Callable[[], bool]
    """Whether anybody was asked anything by now."""

    def probe(self, *environments: str) -> Probe:
        allow = [{**self.rule, "environments": list(environments)}] if environments else []
        return self.create({"allow": allow} if allow else {}, jobs.parts(self.folder))

    def ask(self, fields: dict[str, Any], probe: Probe | None = None) -> Probed:
        job = Job(jobs.PROD, self.folder / "releases" / "17-abc", {}, frozenset())
        return (probe or self.probe("shop/*")).probe(spec(fields), job)


def spec(fields: dict[str, Any]) -> HealthSpec:
    return HealthSpec.model_validate_json(json.dumps({"timeout": "5s", **fields}))


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _http(folder: Path, stack: ExitStack) -> World:
    def script(request: Any) -> Iterator[bytes]:
        if request.path == "/hang":
            server.stopped.wait(30)
        yield answer("200 OK", b"fine")

    server = stack.enter_context(ScriptedServer(script))
    good, hanging = {"http": f"{server.url}/healthz"}, {"http": f"{server.url}/hang", "timeout": "0.2s"}
    bad = {"http": f"http://127.0.0.1:{_closed_port()}/"}
    rule = {"hosts": ["127.0.0.1:*"]}
    return World(http.create, "probes.http.allow", rule, good, bad, hanging, folder, lambda: bool(server.requests))


def _tcp(folder: Path, stack: ExitStack) -> World:
    """A full backlog takes no more connections, and refuses none."""
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    for _ in range(3):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(full.getsockname())

    def asked() -> bool:
        server.settimeout(0.0)
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    good = {"tcp": f"127.0.0.1:{server.getsockname()[1]}"}
    hanging = {"tcp": f"127.0.0.1:{full.getsockname()[1]}", "timeout": "0.2s"}
    rule, bad = {"hosts": ["127.0.0.1:*"]}, {"tcp": f"127.0.0.1:{_closed_port()}"}
    return World(tcp.create, "probes.tcp.allow", rule, good, bad, hanging, folder, asked)


def _command(folder: Path, stack: ExitStack) -> World:
    jobs.release(folder, good="echo x >>../../asked", bad="echo broken >&2; exit 3", hang="sleep 60")
    good, bad, hanging = ({"command": [f"./bin/{name}"]} for name in ("good", "bad", "hang"))
    rule = {"argv": ["./bin/*"]}
    return World(
        *(command.create, "probes.command.allow", rule, good, bad, {**hanging, "timeout": "0.2s"}, folder),
        (folder / "asked").exists,
    )


@pytest.fixture(params=[_http, _tcp, _command], ids=["http", "tcp", "command"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        made: World = request.param(tmp_path, stack)
        yield made


def test_nothing_is_allowed_by_default_and_the_key_that_would_allow_it_is_named(world: World) -> None:
    with pytest.raises(PolicyDenied) as caught:
        world.probe().allow(jobs.PROD, spec(world.good))
    assert caught.value.reason is Reason.ACTIVATION_NOT_ALLOWED
    assert world.key in caught.value.hint
    assert "shop/prod" in caught.value.message


def test_a_rule_allows_the_environments_that_it_names(world: World) -> None:
    probe = world.probe("shop/*")
    probe.allow(jobs.PROD, spec(world.good))
    with pytest.raises(PolicyDenied):
        probe.allow(OTHER, spec(world.good))


def test_what_the_hint_says_allows_it(world: World) -> None:
    with pytest.raises(PolicyDenied) as caught:
        world.probe().allow(jobs.PROD, spec(world.good))
    rule = json.loads(caught.value.hint.partition(": ")[2])
    world.create({"allow": [rule]}, jobs.parts(world.folder)).allow(jobs.PROD, spec(world.good))


def test_who_is_not_allowed_is_not_asked(world: World) -> None:
    probed = world.ask(world.good, world.probe("billing/*"))
    assert not probed.passed
    assert "no rule of the operator's settings allows it" in probed.message
    assert not world.asked()


def test_a_good_answer_passes(world: World) -> None:
    assert world.ask(world.good).passed
    assert world.asked()


@pytest.mark.parametrize("which", ["good", "bad", "hanging"])
def test_what_came_is_told_in_one_line(world: World, which: str) -> None:
    probed = world.ask(getattr(world, which))
    assert probed.passed is (which == "good")
    assert probed.message.isprintable()
    assert probed.message


def test_what_hangs_ends_at_the_timeout_and_is_told(world: World) -> None:
    assert " in 0.2 s" in world.ask(world.hanging).message


def test_one_probe_is_asked_again_and_again(world: World) -> None:
    probe = world.probe("*")
    assert [world.ask(world.good, probe).passed for _ in range(3)] == [True] * 3
