"""The pages with 10,000 environments: the server's time for one answer, from the request until its last byte has come.

Here: the real application on a real socket, over a real store and a real repository, asked by one client on the
loopback: the board (which is what people open), a search, one environment. There: an empty page of the same server,
`/livez`, which is what a request and its answer cost before anything is shown. The first request is not counted, as
the board groups its environments once for each commit.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.sides import Side, interleaved, seconds
from benchmarks.kit.table import Row
from tests.browser.serving import serving
from tests.views_samples import sampled

GOAL_MS = 100.0
EMPTY = "/livez"
_MILLI = 1_000.0
_PAGES = {
    "board": "/",
    "board, searched": "/?text=shop",
    "board, one state": "/?state=degraded",
    "one environment": "/environments/shop/prod",
}


def run(setting: Setting) -> list[Row]:
    """One row for each page."""
    count = setting.size(10_000, 1_000)
    with served(setting, count) as url:
        sides = {path: _side(url + path) for path in (EMPTY, *_PAGES.values())}
        found = {path: value * _MILLI for path, value in interleaved(sides, setting.size(30, 10)).items()}
    return [
        Row(f"{name}, {count:,} environments", "ms", found[path], "an empty page", found[EMPTY], GOAL_MS, absolute=True)
        for name, path in _PAGES.items()
    ]


@contextmanager
def served(setting: Setting, count: int) -> Iterator[str]:
    """The pages of so many environments, in all states; yields where they are."""
    folder = setting.folder / "sample"
    folder.mkdir()
    with sampled(folder, count, "mixed") as facts, serving(facts) as site:
        yield site.url


def _side(url: str) -> Side:
    request = urllib.request.Request(url, headers={"Accept": "text/html", "Accept-Encoding": "gzip"})

    def ask() -> None:
        with urllib.request.urlopen(request, timeout=60) as answer:
            if not answer.read():
                raise RuntimeError(f"{urlsplit(url).path} answered nothing")

    return lambda _: seconds(ask)


BENCHMARK = Benchmark("pages", "The pages", run)
