"""The real daemon tells people once of a hold and once of its end, also across a restart; no secret is anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tests.adapters.servers import Request, ScriptedServer, answer
from tests.canaries import forms, leaks
from tests.site import Site, eventually

CANARY = "canary-3c363836cf4e"
HANGS = "the route hangs takes no notifications"


def items(server: ScriptedServer) -> list[tuple[str, str, bool]]:
    """What arrived: environment, event, and whether it is a reminder."""
    told = [json.loads(request.body) for request in server.requests]
    return [(one["environment"], one["event"], one["reminder"]) for body in told for one in body["items"]]


def ok(_: Request) -> Iterator[bytes]:
    yield answer("200 OK")


def test_people_hear_of_a_hold_once_and_of_its_end_once_whatever_hangs_beside(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.publish(1)
    site.publish(2)
    site.declare("prod", 1)
    site.reconcile()
    with ScriptedServer(ok) as server, ScriptedServer(ok) as hanging:
        hanging._script = lambda _: _hang(hanging)
        (tmp_path / "hook").write_text(f"json://ops:{CANARY}@127.0.0.1:{server.port}/{CANARY}\n")
        (tmp_path / "hangs").write_text(f"json://ops:{CANARY}@127.0.0.1:{hanging.port}/{CANARY}\n")
        routes = [{"name": "hangs", "url_file": "hangs"}, {"name": "oncall", "url_file": "hook"}]
        site.configure(
            web={"listen": None, "url": "https://deploy.example.com"},
            notifications={"gather_seconds": 0.2, "send_seconds": 3, "routes": routes},
        )
        with site.daemon():
            site.push("prod", 2)
            eventually(lambda: items(server))
            eventually(lambda: HANGS in (tmp_path / "daemon.log").read_text())
            assert items(server) == [("prod", "held", False)]
        with site.daemon():
            site.git.direct_push(site.engineer, "environments/prod.yaml", site.declaration("prod", 1))
            site.declare("prod", 2, keep=4)
            eventually(lambda: len(items(server)) > 1)
        assert items(server) == [("prod", "held", False), ("prod", "recovered", False)]
        assert site.current("prod") == 2
        checked = site.cli("check")
        assert hanging.requests
    assert "notifications.oncall   webhook: tells of" in checked.stdout
    assert "takes nothing since" in checked.stdout
    assert "it took more than 3 s" in checked.stdout
    log = (tmp_path / "daemon.log").read_text()
    assert log.count(HANGS) == 1
    _assert_no_leak(site, checked.stdout + checked.stderr + log)


def _hang(server: ScriptedServer) -> Iterator[bytes]:
    server.stopped.wait()
    yield b""


def _assert_no_leak(site: Site, printed: str) -> None:
    canaries = forms([CANARY])
    assert not leaks(printed.encode(), canaries)
    assert not leaks("".join(map(repr, site.audit())).encode(), canaries)
    for path in (site.folder / "state").rglob("*"):
        if path.is_file():
            assert not leaks(path.read_bytes(), canaries), path


def test_a_route_can_be_tried(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with ScriptedServer(ok) as server:
        (tmp_path / "hook").write_text(f"json://ops:{CANARY}@127.0.0.1:{server.port}/\n")
        site.configure(notifications={"routes": [{"name": "oncall", "url_file": "hook", "environments": ["*/prod"]}]})
        tried = site.cli("notify", "--test", "oncall")
        assert (tried.returncode, tried.stdout) == (0, "oncall took the message\n")
        (request,) = server.requests
        assert (json.loads(request.body)["test"], json.loads(request.body)["items"]) == (True, [])
    refused = site.cli("notify", "--test", "oncall")
    assert refused.returncode == 1
    assert "no connection came about" in refused.stderr
    unknown = site.cli("notify", "--test", "onkall")
    assert (unknown.returncode, "there are: oncall" in unknown.stderr) == (2, True)
    _assert_no_leak(site, tried.stderr + refused.stderr + unknown.stderr)
