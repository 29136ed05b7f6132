"""What the daemon does for one step, in numbers that no busy machine can move: processes, files, hashes, rows, syncs.

Speed is measured in `benchmarks/`, and noise moves it; these counts are what it is made of, and they are exact. One
that goes up is a step back that no stopwatch in CI would find. One that goes down is progress: the failure says what to
write here, so that it stays.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest

from tests.archives import zip_of
from tests.counting import Counted, Counts
from tests.site import Site, files_of


@dataclass(frozen=True)
class Bound:
    """What one step may cost, and why it costs that."""

    counts: Counts
    why: str


TABLE: dict[str, Bound] = {
    "first deployment": Bound(
        Counts(git=4, keygen=2, opened=66, hashed=3, commits=4, rows=9, synced=15),
        "git: init, fetch, ls-tree of the declarations, the reader of objects; keygen: the merge and the "
        "commit in it; hashed: on arrival, before it is unpacked, and while its files are written; "
        "commits: the tip, what CI says of the run, intent, outcome; synced: as in an upgrade, and the folders made",
    ),
    "idle poll": Bound(Counts(opened=1), "the file of the branch, and no process: the repository is on this machine"),
    "converged pass": Bound(
        Counts(opened=27), "the target's records and folders, and every file of the release by its stat"
    ),
    "upgrade": Bound(
        Counts(git=2, keygen=2, opened=90, hashed=4, commits=4, rows=9, synced=8),
        "git: fetch, one rev-list of what came; keygen and commits as in the first deployment, hashed too, and behind "
        "the switch what a rollback would go back to; "
        "synced: custody's file and its two folders, the fence, the tree, its names, and the switch (docs/adr/0005)",
    ),
    "restart": Bound(
        Counts(git=3, opened=32),
        "git: rev-list, ls-tree, the reader of objects; opened: the branch's file too, and the outlines; nothing is "
        "written when all is as it was left",
    ),
    "one of many": Bound(
        Counts(git=2, keygen=2, opened=90, hashed=4, commits=4, rows=9, synced=8),
        "as an upgrade, with 10 environments beside it and with 200",
    ),
}
"""`hashed` is in artifacts here, rounded down: so many times the bytes of one."""
ARTIFACT = 256 * 1024
"""Bytes of an artifact, nearly all of it in one file."""
SLACK = {"opened": 0.1}
"""Upper bounds, as Python may do with a little less in another version. The others are exact."""


def judge(step: str, process: Counted) -> None:
    """Compare what was counted with the table; the message is the line to write."""
    counted, wanted = process.counts(), TABLE[step].counts
    found = replace(counted, hashed=counted.hashed // ARTIFACT)
    differences = []
    for name in (field.name for field in fields(Counts)):
        here, bound = getattr(found, name), getattr(wanted, name)
        if here > bound:
            differences.append(f"{name} went up from {bound} to {here}")
        elif here < bound * (1 - SLACK.get(name, 0)):
            differences.append(f"{name} went down from {bound} to {here}: good; write {name}={here} so that it stays")
    told = "\n  ".join(
        (f"{step}: {'; '.join(differences)}", f"now {found}", f"was so: {TABLE[step].why}", *process.started)
    )
    assert not differences, told


class _Site(Site):
    """Its artifacts are large enough that hashing one more often can't hide behind the length of a path."""

    @staticmethod
    def artifact(run: int) -> bytes:
        return zip_of({**files_of(run), "blob": Random(run).randbytes(ARTIFACT)}, {"bin/app": 0o755})

    def whole_run(self, release: Path) -> int:
        return int(release.name.split("-")[0])


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = _Site(tmp_path / "site")
    for run in (1, 2):
        site.publish(run)
    return site


def test_one_environment_through_its_life_costs_what_the_table_says(site: Site) -> None:
    site.declare("prod", 1)
    with Counted(site) as process:
        assert process.look() == ["prod"]
        process.run("prod")
        judge("first deployment", process)
        assert process.look() == []
        judge("idle poll", process)
        process.run("prod")
        judge("converged pass", process)
        site.declare("prod", 2)
        process.counts()
        assert process.look() == ["prod"]
        process.run("prod")
        judge("upgrade", process)
    assert site.current("prod") == 2
    with Counted(site) as process:
        assert process.look() == ["prod"]
        process.run("prod")
        judge("restart", process)


@pytest.mark.parametrize("many", [10, 200])
def test_one_change_costs_the_same_however_many_environments_there_are(site: Site, many: int) -> None:
    others = {f"environments/e{n:03}.yaml": site.declaration(f"e{n:03}", 1) + "suspend: true\n" for n in range(many)}
    site.merge({**others, "environments/prod.yaml": site.declaration("prod", 1)})
    with Counted(site) as process:
        process.look()
        process.run("prod")
        site.declare("prod", 2)
        process.counts()
        assert process.look() == ["prod"]
        process.run("prod")
        judge("one of many", process)
    assert site.current("prod") == 2


def test_ci_is_asked_twice_for_what_is_new_and_never_for_what_is_live(site: Site) -> None:
    with _served(site.runs) as (url, requests):
        site.configure(sources={"ci": _over_http(site, url)})
        site.declare("prod", 1)
        with Counted(site) as process:
            process.look()
            process.run("prod")
            assert len(requests) == 2, requests  # what the run is, and its bytes
            process.run("prod")
            process.look()
            assert len(requests) == 2, requests
            site.declare("prod", 2)
            process.look()
            process.run("prod")
            assert len(requests) == 4, requests
        with Counted(site) as process:
            process.look()
            process.run("prod")
            assert len(requests) == 4, requests


def _over_http(site: Site, url: str) -> dict[str, object]:
    sources = site.settings["sources"]
    assert isinstance(sources, dict)
    return {"type": "http", "url": url, "provenance": sources["ci"]["provenance"]}


@contextmanager
def _served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A folder behind a web server that notes each request."""
    requests: list[str] = []

    class Noting(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            requests.append(f"GET {self.path}")
            super().do_GET()

        def do_HEAD(self) -> None:
            requests.append(f"HEAD {self.path}")
            super().do_HEAD()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Noting, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()
