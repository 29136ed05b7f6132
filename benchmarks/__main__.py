"""`make bench`: every benchmark, or those that are named, each as a table with its ratios.

python -m benchmarks [NAME…] [--quick | --patient] [--out docs]

Tables go to stdout, progress to stderr. With `--out` the table and the plot of the documentation are brought up to
date, for the benchmarks that ran. Nothing is judged: what must not get worse is counted in `tests/e2e`, where no noise
can move it.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from pathlib import Path

from benchmarks import commands, drift, fleet, isolation, merge_to_live, one_of_many, pages, polling, starting
from benchmarks.kit import machine, report
from benchmarks.kit.benchmark import Benchmark, Setting
from benchmarks.kit.place import place
from benchmarks.kit.sides import tell
from benchmarks.kit.table import Result, Row, text

ALL = (
    merge_to_live.BENCHMARK,
    polling.BENCHMARK,
    starting.BENCHMARK,
    one_of_many.BENCHMARK,
    fleet.BENCHMARK,
    drift.BENCHMARK,
    isolation.BENCHMARK,
    commands.BENCHMARK,
    pages.BENCHMARK,
)


def main() -> int:
    """Run what is asked for; 1 when a benchmark could not be run."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # else the mount would stay
    chosen = [one for one in ALL if not asked.names or one.name in asked.names]
    whole = True
    with place() as where:
        told = machine.told(where.told, asked.quick)
        print(told, flush=True)
        for benchmark in chosen:
            result, ended = _run(benchmark, Setting(where.folder / benchmark.name, asked.quick, asked.patient))
            whole = whole and ended
            if not result.rows:
                continue
            print(f"\n{text(result)}", flush=True)
            if asked.out:
                report.write(asked.out, [result], [one.name for one in ALL], told)
    return 0 if whole else 1


def _run(benchmark: Benchmark, setting: Setting) -> tuple[Result, bool]:
    """What it came to, and whether that is all of it: rows that were measured before a failure count."""
    tell(benchmark.title)
    setting.folder.mkdir()
    start = time.monotonic()
    rows: list[Row] = []
    try:
        for row in benchmark.run(setting):
            rows.append(row)  # noqa: PERF402 - what came before a failure is kept
    except Exception as error:  # noqa: BLE001 - the others are worth running all the same
        tell(f"{benchmark.name} could not be measured to its end: {type(error).__name__}: {error}")
        return Result(benchmark.name, benchmark.title, tuple(rows)), False
    finally:
        shutil.rmtree(setting.folder, ignore_errors=True)
        tell(f"{benchmark.name}: {time.monotonic() - start:.0f} s")
    return Result(benchmark.name, benchmark.title, tuple(rows)), True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description="How fast it is here, beside other ways.")
    known = [one.name for one in ALL]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(known)}")
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that they run, not for quoting")
    parser.add_argument("--patient", action="store_true", help="the full sizes, if that takes an hour")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="bring the table and the plot there up to date")
    found = parser.parse_args()
    if unknown := sorted({*found.names} - {*known}):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    return found


if __name__ == "__main__":
    sys.exit(main())
