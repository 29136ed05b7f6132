"""A plan for a terminal."""

from __future__ import annotations

from reconciler.cli.render import Cell, Page
from reconciler.cli.story import gate_rows
from reconciler.core import alterations
from reconciler.core.alterations import Setting
from reconciler.core.plandoc import ChangePlan, Commits, EnvironmentPlan, Files, PolicyChange
from reconciler.core.readable import ARROW, moment, short
from reconciler.model import GateResult, Verdict
from reconciler.planning import words

Row = tuple[Cell | str, ...]

_STYLES = {"+": "good", "-": "bad", "!": "warn"}


def show(plan: ChangePlan) -> None:
    """Print it: the answer, then one environment after the other."""
    page = Page()
    if told := words.rewritten(plan):
        page.line(Cell(told, "bad"))
        page.line(f"{ARROW} {words.REWRITTEN_HINT}", indent=2)
        page.line()
    page.line(Cell(f"Merging {short(plan.head)} into {plan.branch} {words.verdict(plan)}", "head"))
    page.line(Cell(f"onto {plan.base}, as of {moment(plan.as_of)}", "dim"))
    for warning in words.warnings(plan):
        page.line(Cell("! ", "warn"), Cell(warning, "bad"))
    if plan.problems:
        _section(page, "Files that can't be declarations", [(problem,) for problem in plan.problems[: words.SHOWN]])
    if plan.policy:
        _policy(page, plan.policy)
    for one in plan.environments:
        page.line()
        _environment(page, one)
    _concerned(page, plan)
    page.line()
    page.line(Cell("Plan ", "dim"), plan.digest)


def _policy(page: Page, change: PolicyChange) -> None:
    _section(page, "The policy can't be read", [(problem,) for problem in change.problems])
    told = list(words.entries(change.settings))
    rows: list[Row] = [(Cell(mark, _STYLES[mark]), path, text) for mark, path, text in told[: words.SHOWN]]
    if left := words.more(len(told), words.SHOWN):
        rows.append(("", "", left))
    _section(page, "Policy", rows)
    word = change.approval
    if word is None:
        return
    page.line()
    page.grid(_gate(word) if word.verdict is Verdict.HELD else [(Cell("Who may approve it", "dim"), word.message)], 4)


def _environment(page: Page, one: EnvironmentPlan) -> None:
    page.line(Cell(f"{one.environment}: {words.title(one)}", "head"))
    rows: list[Row] = []
    if one.live_unknown:
        rows.append((Cell("Live", "dim"), f"{words.NOT_KNOWN}: {one.live_unknown}"))
    if declared := words.declared_before(one):
        rows.append((Cell("Declared", "dim"), f"now run {declared}, which is not what is live"))
    if one.drifted:
        rows.append((Cell("Drift", "dim"), f"{one.drifted} paths of what is live are not as they were put there"))
    rows += [(Cell(title, "dim"), text) for title, text in words.how_it_fails(one)]
    if one.digest:
        rows.append((Cell("Digest", "dim"), one.digest))
    page.grid(rows, indent=2)
    _section(page, "Settings", _settings(one.settings))
    _commits(page, one.commits)
    _files(page, one.files)
    gates, silent = words.asked(one.gates)
    rows = [row for word in gates for row in _gate(words.without_repeats(word))]
    _section(page, "Gates", [*rows, *([("", "", Cell("not reached", "dim"), Cell(silent, "dim"))] if silent else [])])


def _gate(word: GateResult) -> list[Row]:
    if word.verdict is Verdict.PENDING:
        return [(Cell("?", "warn"), word.gate.value, Cell("waits", "warn"), word.message)]
    rows: list[Row] = list(gate_rows(word, ""))
    if word.not_before:
        rows.append(("", "", "", f"not before {moment(word.not_before)}"))
    return rows


def _settings(settings: tuple[Setting, ...]) -> list[Row]:
    rows: list[Row] = [
        (
            Cell("!" if item.loosens else "", "bad"),
            item.path,
            f"{alterations.shown(item.before)} {ARROW} {alterations.shown(item.after)}",
        )
        for item in settings[: words.SHOWN]
    ]
    if left := words.more(len(settings), words.SHOWN):
        rows.append(("", "", left))
    return rows


def _commits(page: Page, commits: Commits | None) -> None:
    if commits is None or not (commits.before or commits.after):
        return
    rows: list[Row] = [(short(item.id), item.subject) for item in commits.subjects]
    if commits.more:
        rows.append(("", "and more"))
    _section(page, f"Commits: {words.commits(commits)}", rows, empty=True)


def _files(page: Page, files: Files | None) -> None:
    if files is None:
        return
    if files.changes is None:
        _section(page, f"Files: not known: {files.unknown}", [], empty=True)
        return
    rows: list[Row] = [(Cell(mark, _STYLES[mark]), path, text) for mark, path, text in words.file_lines(files.changes)]
    if left := words.more(files.changes.total, words.SHOWN):
        rows.append(("", left, ""))
    _section(page, f"Files: {words.totals(files.changes)}", rows, empty=True)


def _concerned(page: Page, plan: ChangePlan) -> None:
    rows: list[Row] = [
        (
            one.environment,
            one.action.value if one.action else "-",
            words.in_the_way(one),
        )
        for one in plan.concerned
    ]
    if plan.more:
        rows.append((f"and {plan.more:,} more", "", ""))
    _section(page, "Also concerned, their own files unchanged", rows)


def _section(page: Page, title: str, rows: list[Row], *, empty: bool = False) -> None:
    """A heading and its rows; nothing at all when there is none, unless the heading says something by itself."""
    if not rows and not empty:
        return
    page.line()
    page.line(Cell(title, "head"), indent=2)
    page.grid(rows, indent=4)
