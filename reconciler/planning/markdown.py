"""A plan as the comment of a pull request: GitHub's markdown, and whatever else reads CommonMark with tables.

Names of files, subjects of commits, messages of gates: much of a plan was written by people who may want the comment
to say something else. Each such text goes out as `prose`, `code` or within a `fence`, and in no other way; in none
can it end a cell, a block or a tag, and none of it becomes a link, a mention, a reference or a picture.

The comment stays below `LIMIT` characters, whatever the input: forges refuse a longer one, and then nobody sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reconciler.core import alterations, plandoc
from reconciler.core.alterations import Setting
from reconciler.core.plandoc import ChangePlan, Commits, EnvironmentPlan, Files, PolicyChange
from reconciler.core.readable import ARROW, escape, moment, short
from reconciler.model import GateResult, Verdict
from reconciler.planning import words

LIMIT = 60_000
"""Characters of the whole comment. Origin: GitHub takes 65,536."""
_DETAILS = 56_000
"""Characters at which no further environment is told in full: what follows has its own bounds."""
_SUMMARY = 12_000
"""Characters of one table at which the rest of its rows is only counted."""
_WARNINGS = 16_000
"""Characters of warnings at which the rest is only counted."""
TEXT = 300
"""Characters of one text from outside; the rest of a longer one is cut."""

_PATH = 60
"""Columns after which sizes are no longer aligned."""
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ,;/()'%+=.-…→")
_BREAK = "\u200b"
"""A blank without width: between a sign and what follows, so that a forge finds nobody to call and nothing to link."""
_CALLS = re.compile(r"(?<=[@#:])(?=\w)|(?<=:)(?=/)|(?<=(?i:gh)-)(?=\d)|(?<=(?i:www))(?=\.)")
"""Where a forge would begin to see a mention, a reference, a picture of its own (`:name:`) or an address."""
_MARKS = {Verdict.PASSED: "✅", Verdict.HELD: "⛔", Verdict.PENDING: "⏳", Verdict.NOT_REACHED: "▫️"}
_WORDS = {Verdict.HELD: "**held**", Verdict.PENDING: "waits"}


def comment(plan: ChangePlan) -> str:
    """The whole comment; its first line tells a program which plan it is of."""
    head = [
        f"<!-- reconciler-plan head={plan.head} digest={plan.digest} -->",
        f"## Plan: merging this {words.verdict(plan)}",
        "",
        _coordinates(plan),
        "",
        *_warnings(plan),
        *_summary(plan),
        *_concerned(plan),
    ]
    foot = f"\nPlan {code(plan.digest)} · the audit names each environment's digest again when it is carried out\n"
    text = "\n".join(head)
    for number, one in enumerate(plan.environments):
        block = _details(one)
        if len(text) + len(block) > _DETAILS:
            left = len(plan.environments) - number
            text += f"\n\n*{left:,} not shown in full: the comment would be too long. See `reconciler plan`.*"
            break
        text += f"\n\n{block}"
    return f"{text}\n{foot}"


def _coordinates(plan: ChangePlan) -> str:
    where = f"Head {code(short(plan.head))} into {code(plan.branch)} at {code(short(plan.base))}"
    return f"{where}, as of {moment(plan.as_of)}. All of it is judged anew once it is merged."


# --- what comes from outside ---------------------------------------------------------------------


def prose(text: str) -> str:
    """Somebody's words among ours: every sign of markdown and HTML spelled out, nothing that calls or links."""
    return "".join(c if c in _PLAIN or c == _BREAK else f"&#{ord(c)};" for c in _CALLS.sub(_BREAK, _cut(text)))


def code(text: str) -> str:
    """A name, a path, a value: as `prose`, in the face of code, in which forges look for nothing to call."""
    return f"<code>{prose(text)}</code>"


def fence(lines: Iterable[str], language: str) -> str:
    """Lines as they are, each on a line of its own, in a fence that none of them can close."""
    clean = [_cut(line) for line in lines]
    longest = max((len(run) for line in clean for run in re.findall("`+", line)), default=0)
    rail = "`" * max(3, longest + 1)
    return "\n".join((f"{rail}{language}", *clean, rail))


def _cut(text: str) -> str:
    """One line of printable characters."""
    clean = escape(text)
    return clean if len(clean) <= TEXT else clean[: TEXT - 1] + "…"


# --- the parts -----------------------------------------------------------------------------------


def _warnings(plan: ChangePlan) -> list[str]:
    told = [f"> ⛔ {prose(words.rewritten(plan))}. {prose(words.REWRITTEN_HINT)}"] if plan.rewritten else []
    told += [f"> ⚠️ {prose(problem)}" for problem in (*plan.problems, *(plan.policy.problems if plan.policy else ()))]
    told += [f"> ⚠️ {text[0].upper()}{prose(text[1:])}" for text in words.warnings(plan)]
    if not told:
        return []
    kept = _bounded(told, _WARNINGS)
    return [*_between(kept, ">"), *([f">\n> {words.more(len(told), len(kept))}"] if len(kept) < len(told) else []), ""]


def _summary(plan: ChangePlan) -> list[str]:
    rows = [
        (
            f"**{one.environment}**",
            _runs(one),
            plandoc.act(one),
            ("⛔ " if one.held else "") + prose(words.gates_in_brief(one)),
        )
        for one in plan.environments
    ]
    return _table(("environment", "run", "what", "gates"), rows) if rows else []


def _runs(one: EnvironmentPlan) -> str:
    before, after = words.runs(one)
    return prose(before) if words.same_artifact(one) else f"{prose(before)} {ARROW} {prose(after)}"


def _concerned(plan: ChangePlan) -> list[str]:
    told: list[str] = []
    if plan.policy:
        told += _policy(plan.policy)
    if plan.concerned:
        lines = [
            f"- {'⛔ ' if one.held else ''}**{one.environment}**: " + prose(words.in_the_way(one))
            for one in plan.concerned
        ]
        kept = _bounded(lines, _SUMMARY)
        told += ["", "**Also concerned**, their own files unchanged", "", *kept]
        if left := words.more(len(lines) + plan.more, len(kept)):
            told.append(f"- {left}")
    return told


def _policy(change: PolicyChange) -> list[str]:
    rows = [(code(mark), path, prose(text)) for mark, path, text in words.entries(change.settings)]
    told = _titled("Common policy", _table(("", "list", "entry"), rows[: words.SHOWN], len(rows)) if rows else [])
    word = change.approval
    if word is None:
        return told
    if word.verdict is Verdict.HELD:
        return [*told, *_titled("Approval of the policy", _table(("", "gate", "", "why"), [_gate(word)]))]
    return [*told, "", f"- **Who may approve the policy** {prose(word.message)}"]


def _details(one: EnvironmentPlan) -> str:
    parts = [
        f"<details{' open' if one.held else ''}>",
        f"<summary><b>{one.environment}</b>: {prose(words.title(one))}</summary>",
        "",
        *_facts(one),
        *_titled("Settings", _settings(one.settings) if one.settings else []),
        *_commits(one.commits),
        *_files(one.files),
        *_titled("Gates", _gates(one.gates)),
        "",
        "</details>",
    ]
    return "\n".join(parts)


def _facts(one: EnvironmentPlan) -> list[str]:
    rows: list[str] = []
    if one.live_unknown:
        rows.append(f"- **Live** {words.NOT_KNOWN}: {prose(one.live_unknown)}")
    if declared := words.declared_before(one):
        rows.append(f"- **Declared now** run {prose(declared)}, which is not what is live")
    if one.drifted:
        rows.append(f"- **Drift** {one.drifted} paths of what is live are not as they were put there")
    if one.approval:
        rows.append(f"- **Who may approve** {prose(one.approval.message)}")
    for title, text in words.how_it_fails(one):
        is_command = title == "Undo" and text.startswith("reconciler ")
        rows.append(f"- **{title}** {code(text) if is_command else prose(text)}")
    if one.digest:
        rows.append(f"- **Digest** {code(one.digest)}")
    return rows


def _gates(gates: Sequence[GateResult]) -> list[str]:
    told, silent = words.asked(gates)
    rows = [_gate(words.without_repeats(word)) for word in told]
    if silent:
        rows.append((_MARKS[Verdict.NOT_REACHED], "", Verdict.NOT_REACHED.value, prose(silent)))
    return _table(("", "gate", "", "why"), rows)


def _gate(word: GateResult) -> tuple[str, ...]:
    said = [f"{word.reason}: {word.message}"] if word.verdict is Verdict.HELD else [word.message]
    said += [text for text in word.evidence[:5] if text not in said]
    lines = [prose(words.shortened(text)) for text in said if text]
    if word.not_before:
        lines.append(f"**not before {moment(word.not_before)}**")
    if word.verdict is Verdict.HELD and word.hint:
        lines.append(f"{ARROW} {prose(word.hint)}")
    return _MARKS[word.verdict], word.gate.value, _WORDS.get(word.verdict, word.verdict.value), "<br>".join(lines)


def _settings(settings: Sequence[Setting]) -> list[str]:
    titles = ["field", "before", "after"]
    rows = [
        [code(item.path), code(alterations.shown(item.before)), code(alterations.shown(item.after))]
        for item in settings[: words.SHOWN]
    ]
    if any(item.loosens for item in settings):
        titles.append("")
        for item, row in zip(settings, rows, strict=False):
            row.append("⚠️ **lowers a bar**" if item.loosens else "")
    return _table(titles, rows, total=len(settings))


def _commits(commits: Commits | None) -> list[str]:
    if commits is None or not (commits.before or commits.after):
        return []
    told = [f"- {code(short(item.id))} {prose(item.subject)}" for item in commits.subjects]
    lines = _bounded(told, _SUMMARY)
    if commits.more or len(lines) < len(told):
        lines.append("- and more")
    return ["", f"**Commits** {prose(words.commits(commits))}", *(["", *lines] if lines else [])]


def _files(files: Files | None) -> list[str]:
    if files is None:
        return []
    changes = files.changes
    if changes is None:
        return ["", f"**Files** not known: {prose(files.unknown)}"]
    told = [(mark, _cut(path), text) for mark, path, text in words.file_lines(changes)]
    width = min(_PATH, max((len(path) for _, path, _ in told), default=0))
    lines = [f"{mark} {path:<{width}}  {text}" for mark, path, text in told]
    if left := words.more(changes.total, len(lines)):
        lines.append(f"  {left}")
    return ["", f"**Files** {words.totals(changes)}", *(["", fence(lines, "diff")] if lines else [])]


# --- shapes --------------------------------------------------------------------------------------


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], total: int = 0) -> list[str]:
    """A table; its cells are safe already."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    kept = _bounded(lines, _SUMMARY)
    if left := words.more(max(total, len(rows)), len(kept)):
        kept.append(f"| {left} |{' |' * (len(titles) - 1)}")
    return [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *kept]


def _titled(title: str, lines: list[str]) -> list[str]:
    return ["", f"**{title}**", "", *lines] if lines else []


def _between(lines: Sequence[str], line: str) -> list[str]:
    """The lines with another one between each two."""
    return [part for n, text in enumerate(lines) for part in ((line, text) if n else (text,))]


def _bounded(lines: Sequence[str], limit: int) -> list[str]:
    """The first lines, as long as they have room together."""
    kept: list[str] = []
    for text in lines:
        limit -= len(text) + 1
        if limit < 0:
            break
        kept.append(text)
    return kept
