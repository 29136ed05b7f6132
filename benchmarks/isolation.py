"""Bad neighbours: 5,000 environments are deployed for the first time, 10 % of them always fail and 1 % hang.

Measured for each healthy environment: from the start of the daemon until its `current` was put there, by that link's
own time; of these the 99th percentile. Here: with the bad ones among them. There: the same healthy ones alone, in runs
before and after it.

Half of those that fail have a source that answers 503, half a target that is a file; those that hang have a source
that takes the connection and never answers.
"""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.fleet import SHARED_RUN, Fleet, small_artifact, wait_live
from benchmarks.kit.sides import tell
from benchmarks.kit.table import Row

GOAL = 1.1
_WITHIN = 1_200.0
_NANO = 1e9


def run(setting: Setting) -> list[Row]:
    """One row."""
    count = setting.deployed(5_000, 100, budget=30)
    with bad_source() as url:
        seen = []
        for number, bad in enumerate((False, True, False)):
            tell(f"{count:,} environments, {'with' if bad else 'without'} bad ones")
            folder = setting.folder / str(number)
            seen.append(measured(folder, count, url, bad=bad))
            shutil.rmtree(folder)
    alone, among = statistics.mean((seen[0], seen[2])), seen[1]
    work = f"p99 of the healthy among {count:,}, 10 % failing, 1 % hanging"
    apart = f"alone: {seen[0]:.3g} s before, {seen[2]:.3g} s after"
    return [Row(work, "s", among, "the healthy ones alone", alone, GOAL, remark=apart)]


def measured(folder: Path, count: int, url: str, *, bad: bool) -> float:
    """Seconds until all but one in a hundred of the healthy ones are live."""
    folder.mkdir()
    site = Fleet(folder / "site", 0)
    names = [f"e{number:05}" for number in range(count)]
    kinds = {name: kind(number) for number, name in enumerate(names)}
    data = small_artifact(SHARED_RUN)
    sources = {"fails": "fails", "hangs": "hangs", "well": "ci", "no-folder": "ci"}
    site.accept(
        {
            site.file(name): site.declared(name, SHARED_RUN, data, source=sources[kinds[name]])
            for name in names
            if bad or kinds[name] == "well"
        }
    )
    for name in names:
        if kinds[name] == "no-folder":
            (site.live / name).write_text("in the way")
    _add_sources(site, url)
    links = [site.live / name / "current" for name in names if kinds[name] == "well"]
    start = time.time()
    with site.daemon() as daemon:
        wait_live(daemon, [(link, SHARED_RUN) for link in links], _WITHIN, site.log)
    spent = sorted(link.lstat().st_ctime_ns / _NANO - start for link in links)
    return spent[len(spent) * 99 // 100]


def kind(number: int) -> str:
    """Which environments are bad, spread evenly: 1 % hang, 5 % have a source that fails, 5 % a target."""
    if number % 100 == 50:
        return "hangs"
    return {5: "fails", 15: "no-folder"}.get(number % 20, "well")


def _add_sources(site: Fleet, url: str) -> None:
    sources = site.settings["sources"]
    assert isinstance(sources, dict)
    for name in ("fails", "hangs"):
        provenance = deepcopy(sources["ci"]["provenance"])  # else YAML writes an alias, which settings don't take
        sources |= {name: {"type": "http", "url": f"{url}/{name}", "provenance": provenance}}
    site.configure(sources=sources, stop_seconds=1)  # what hangs is left, as we have seen what we came for


@contextmanager
def bad_source() -> Iterator[str]:
    """A server that fails below `/fails`, and never answers below `/hangs`."""
    over = threading.Event()

    class Bad(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/hangs"):
                over.wait()
                return
            with suppress(OSError):  # who asked may be gone
                self.send_error(503)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bad)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


BENCHMARK = Benchmark("isolation", "Bad neighbours", run)
