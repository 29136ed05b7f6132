"""The plot: for each goal how near the figure comes to it. SVG by hand, so that no plotting library is needed.

One line for each row that has a goal; the dot stands at figure ÷ goal (goal ÷ figure where the goal is a lower bound)
on a logarithmic scale, so left of the middle line is good everywhere. Colours follow the reader's light or dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.kit.table import TIMES, Result, Row, cells

WIDTH, LABELS, RIGHT, LINE, TOP = 960, 400, 215, 24, 58
DECADES = 2.0
"""To each side of the goal; what lies beyond is drawn at the edge."""
STYLE = """
  svg { color-scheme: light dark; font: 13px system-ui, sans-serif; }
  text { fill: #1f2328; } .soft { fill: #59636e; } .rule { stroke: #d1d9e0; } .goal { stroke: #1f2328; }
  .met { fill: #1a7f37; stroke: #1a7f37; } .missed { fill: #cf222e; stroke: #cf222e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; } .soft { fill: #9198a1; } .rule { stroke: #3d444d; } .goal { stroke: #f0f6fc; }
    .met { fill: #3fb950; stroke: #3fb950; } .missed { fill: #f85149; stroke: #f85149; }
  }
"""


def drawn(results: Sequence[Result]) -> str:
    """The whole file."""
    rows = [(result, row) for result in results for row in result.rows if row.goal]
    height = TOP + LINE * (len(rows) + len({result.name for result, _ in rows})) + 16
    body = [_scale(height)]
    at, group = TOP, ""
    for result, row in rows:
        if result.name != group:
            group = result.name
            body.append(f'<text x="12" y="{at + 16}" font-weight="600">{escape(result.title)}</text>')
            at += LINE
        body.append(_dot(row, at))
        at += LINE
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    title = "<title>Each figure as a multiple of its goal</title>"
    return "\n".join([head, title, f"<style>{STYLE}</style>", *body, "</svg>", ""])


def _x(multiple: float) -> float:
    half = (WIDTH - LABELS - RIGHT) / 2
    power = max(-DECADES, min(DECADES, math.log10(multiple))) if multiple > 0 else -DECADES
    return LABELS + half + half * power / DECADES


def _scale(height: int) -> str:
    parts = []
    for multiple, words in ((0.01, "1/100"), (0.1, "1/10"), (1, "goal"), (10, f"10{TIMES}"), (100, f"100{TIMES}")):
        x, kind = _x(multiple), "goal" if multiple == 1 else "rule"
        parts.append(f'<text class="soft" x="{x:.0f}" y="20" text-anchor="middle">{words}</text>')
        parts.append(f'<line class="{kind}" x1="{x:.0f}" y1="28" x2="{x:.0f}" y2="{height - 12}"/>')
    parts.append(f'<text class="soft" x="{_x(0.1):.0f}" y="44" text-anchor="middle">better than the goal</text>')
    parts.append(f'<text class="soft" x="{_x(10):.0f}" y="44" text-anchor="middle">missed</text>')
    return "\n".join(parts)


def _dot(row: Row, at: int) -> str:
    assert row.goal
    multiple = row.goal / row.judged if row.at_least and row.judged else row.judged / row.goal
    x, y, kind = _x(multiple), at + LINE // 2, "met" if row.met else "missed"
    here, ratio, goal = cells(row)[3:6]
    told = f"{here if row.absolute or not ratio else ratio} ({goal})"
    return "\n".join(
        (
            f'<text x="24" y="{y + 4}">{escape(row.work)}</text>',
            f'<line class="{kind}" x1="{_x(1):.1f}" y1="{y}" x2="{x:.1f}" y2="{y}" stroke-width="3"/>',
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y}" r="5"/>',
            f'<text class="soft" x="{WIDTH - 12}" y="{y + 4}" text-anchor="end">{escape(told)}</text>',
        )
    )
