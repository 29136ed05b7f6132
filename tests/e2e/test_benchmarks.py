"""The benchmarks run, and bring up to date only what they own of the page about them."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.kit import report
from benchmarks.kit.table import Result, Row, text

ORDER = ("first", "second")
BEFORE, AFTER = "# Mine\n\nWords of people.\n\n", "\n\nMore words.\n"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    (tmp_path / report.DOCUMENT).write_text(f"{BEFORE}{report.BEGIN}\nold\n{report.END}{AFTER}")
    return tmp_path


def result(name: str, ours: float) -> Result:
    return Result(name, name.title(), (Row("work", "s", ours, "the least", 2.0, goal=0.6, beside={"other": 1.5}),))


def test_only_what_stands_between_the_markers_is_rewritten(docs: Path) -> None:
    report.write(docs, [result("first", 1.0)], ORDER, "here")
    written = (docs / report.DOCUMENT).read_text()
    assert written.startswith(BEFORE)
    assert written.endswith(AFTER)
    assert "| work | the least | 2 s | 1 s | 0.5 | ≤ 0.6× | met |" in written
    assert "old" not in written


def test_a_run_of_one_benchmark_leaves_the_others_as_they_were(docs: Path) -> None:
    report.write(docs, [result("second", 3.0)], ORDER, "yesterday")
    report.write(docs, [result("first", 1.0)], ORDER, "today")
    written = (docs / report.DOCUMENT).read_text()
    assert written.index("### First") < written.index("*today*") < written.index("### Second")
    assert written.index("### Second") < written.index("*yesterday*")
    report.write(docs, [result("second", 1.0)], ORDER, "today")
    assert "yesterday" not in (docs / report.DOCUMENT).read_text()


def test_the_plot_is_an_image_that_shows_each_row_with_a_goal(docs: Path) -> None:
    report.write(docs, [result("first", 1.0), result("second", 3.0)], ORDER, "here")
    image = ET.parse(docs / report.PLOT).getroot()
    dots = [dot.get("class") for dot in image.iter("{http://www.w3.org/2000/svg}circle")]
    assert dots == ["met", "missed"]


def test_a_document_without_markers_is_not_touched(docs: Path) -> None:
    (docs / report.DOCUMENT).write_text("no markers")
    with pytest.raises(ValueError, match="wanted the markers"):
        report.write(docs, [result("first", 1.0)], ORDER, "here")
    assert (docs / report.DOCUMENT).read_text() == "no markers"


def test_a_table_tells_ratio_and_goal() -> None:
    shown = text(result("first", 3.0)).splitlines()
    assert shown[2].split() == ["work", "the", "least", "2", "s", "3", "s", "1.5", "≤", "0.6×", "missed"]
    assert shown[3].strip() == "work: other 1.5×"


def test_the_command_measures_and_writes(docs: Path) -> None:
    argv = [sys.executable, "-m", "benchmarks", "commands", "--quick", "--out", str(docs)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert "reconciler --help" in done.stdout
    (kept,) = json.loads((docs / report.DATA).read_text())
    assert [row["work"] for row in kept["rows"]] == ["reconciler --help", "reconciler validate"]
