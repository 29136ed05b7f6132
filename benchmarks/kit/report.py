"""Results in `docs/`: a JSON file that keeps each benchmark's last run, and from it the table and the plot.

Of the document only what stands between the two markers is rewritten, so that people can write around it, and a run of
one benchmark leaves the rows of the others as they were.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.kit.plot import drawn
from benchmarks.kit.table import HEAD, Result, Row, beside, cells

BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"
DOCUMENT, DATA, PLOT = "performance.md", "performance.json", "performance.svg"


def write(folder: Path, results: Sequence[Result], order: Sequence[str], where: str) -> None:
    """Bring the generated parts below `folder` up to date.

    Args:
        folder: Such as `docs`.
        results: What was measured now.
        order: The names of all benchmarks, in the order of the document.
        where: The machine and the place, in words.

    Raises:
        ValueError: The document has no markers.
    """
    known = _load(folder / DATA) | {result.name: (result, where) for result in results}
    kept = [known[name] for name in order if name in known]
    data = [asdict(result) | {"where": place} for result, place in kept]
    (folder / DATA).write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    (folder / PLOT).write_text(drawn([result for result, _ in kept]))
    document = folder / DOCUMENT
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document}: wanted the markers {BEGIN} and {END}")
    document.write_text(f"{before}{BEGIN}\n\n{_markdown(kept)}\n{END}{after}")


def _load(file: Path) -> dict[str, tuple[Result, str]]:
    if not file.exists():
        return {}
    found = json.loads(file.read_text())
    return {
        each["name"]: (Result(each["name"], each["title"], tuple(Row(**row) for row in each["rows"])), each["where"])
        for each in found
    }


def _markdown(kept: Sequence[tuple[Result, str]]) -> str:
    parts = []
    for result, where in kept:
        head = [f"### {result.title}", "", _row(HEAD), _row(["---"] * len(HEAD))]
        notes = [f"- {row.work}: {words}" for row in result.rows for words in (beside(row), row.remark) if words]
        table = [_row(cells(row)) for row in result.rows]
        parts.append("\n".join([*head, *table, "", *notes, *([""] if notes else []), f"*{where}*", ""]))
    return "\n".join(parts)


def _row(fields: Sequence[str]) -> str:
    return "| " + " | ".join(field.replace("|", "\\|") for field in fields) + " |"
