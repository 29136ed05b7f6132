"""The real program among bad neighbours, and at rest: what fails or hangs holds up nobody, and idle costs no pass."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from reconciler.loop.daemon import Daemon
from tests.site import Site, environment, eventually

HANGING, FAILING = 12, 12
"""More than there are workers."""
WORKERS = 2


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    for run in (1, 2, 3):
        site.publish(run)
    return site


@contextmanager
def bad_source() -> Iterator[str]:
    """A server that fails below `/fails`, and never answers below `/hangs`."""
    over = threading.Event()

    class Bad(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/hangs"):
                over.wait(120)
            self.send_error(503)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bad)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def among_bad_neighbours(site: Site, url: str) -> None:
    """Declare them, first by name, so that they stand in front of the others."""
    known = site.settings["sources"]
    assert isinstance(known, dict)
    bad = {
        name: {
            "type": "http",
            "url": f"{url}/{name}",
            "provenance": {"repositories": ["acme/shop"], "workflows": ["build.yml"]},
        }
        for name in ("fails", "hangs")
    }
    site.configure(sources=known | bad, workers=WORKERS, stop_seconds=1, repository=_polled(site, 0.5))
    files = {}
    for kind, count in (("hangs", HANGING), ("fails", FAILING)):
        for number in range(count):
            document = yaml.safe_load(site.declaration(f"a-{kind}-{number}", 1))
            document["artifact"]["source"] = kind
            files[f"environments/a-{kind}-{number}.yaml"] = yaml.safe_dump(document, sort_keys=False)
    for name in ("prod", "staging"):
        document = yaml.safe_load(site.declaration(name, 1))
        document["artifact"]["source"] = "ci"
        files[f"environments/{name}.yaml"] = yaml.safe_dump(document, sort_keys=False)
    site.merge(files)


def _polled(site: Site, seconds: float) -> dict[str, object]:
    known = site.settings["repository"]
    assert isinstance(known, dict)
    return known | {"poll_seconds": seconds}


def test_more_that_hang_and_fail_than_there_are_workers_hold_up_nobody(site: Site) -> None:
    with bad_source() as url:
        among_bad_neighbours(site, url)
        with site.daemon() as daemon:
            eventually(lambda: site.current("prod") == 1 and site.current("staging") == 1)
            for run in (2, 3):
                document = yaml.safe_load(site.declaration("prod", run))
                document["artifact"]["source"] = "ci"
                site.merge({"environments/prod.yaml": yaml.safe_dump(document, sort_keys=False)})
                eventually(lambda run=run: site.current("prod") == run)  # type: ignore[misc]
            threads = len(list(Path(f"/proc/{daemon.pid}/task").iterdir()))
            assert threads < HANGING + 4 * WORKERS + 20
        assert not (site.live / "a-fails-0" / "current").is_symlink()


def test_drift_is_repaired_at_once_long_before_its_time_has_come(site: Site) -> None:
    site.declare("prod", 1)
    site.configure(drift_seconds=3600, repository=_polled(site, 3600))
    with site.daemon():
        eventually(lambda: site.current("prod") == 1)
        file = site.live / "prod" / "current" / "lib/0.txt"
        file.write_bytes(b"by hand")
        eventually(lambda: file.read_bytes() == b"run 1")
        (site.live / "prod" / "current").unlink()
        eventually(lambda: site.current("prod") == 1)


def test_what_is_as_it_should_be_costs_glances_alone(site: Site) -> None:
    for name in ("prod", "dev", "staging"):
        site.declare(name, 1)
    site.configure(drift_seconds=0.1, drift_watch=False)
    passes: list[str] = []
    with site.system() as system:
        runner = system.runner(lambda status, previous, problem: passes.append(status.environment))
        daemon = system.daemon(runner, lambda problem: None)
        with looping(daemon):
            eventually(lambda: runner.skipped > 10)
            before = len(passes)
            eventually(lambda: runner.skipped > 60)
            assert len(passes) == before
            file = site.live / "dev" / "current" / "lib/0.txt"
            file.write_bytes(b"by hand")
            eventually(lambda: file.read_bytes() == b"run 1")
            eventually(lambda: runner.at_rest(environment("dev")))
            assert set(passes[before:]) == {"dev"}


@contextmanager
def looping(daemon: Daemon) -> Iterator[None]:
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        yield
    finally:
        daemon.stop()
        thread.join(30)
