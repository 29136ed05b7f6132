"""What the text and the markdown of a plan say alike: runs, sizes, files, and the answer in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from reconciler.core import alterations, plandoc
from reconciler.core.alterations import Setting
from reconciler.core.contents import Changes, FileChange, FileFact
from reconciler.core.plandoc import Brief, ChangePlan, Commits, EnvironmentPlan
from reconciler.core.readable import ARROW, counted, moment, short, size
from reconciler.model import Declared, Gate, GateResult, Release, Verdict

SHOWN = 50
"""Files, settings or environments that are listed; behind them only their number is told."""
NOT_KNOWN = "not known from here"
_NAMED = 5
"""Environments that a warning names; the rest is counted."""

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


def verdict(plan: ChangePlan) -> str:
    """The answer in one line."""
    count = len(plan.environments)
    what = counted(count, "environment") if count else "no environment"
    if plan.policy:
        what = f"{what} and the common policy" if count else "the common policy and no environment's own file"
    concerned = len(plan.concerned) + plan.more
    if concerned:
        what += f" ({counted(concerned, 'further one is', 'further ones are')} concerned)"
    held = sum(bool(one.held) for one in plan.environments) + sum(bool(one.held) for one in plan.concerned)
    return f"changes {what}" + (f"; {_part(held, count + concerned)} held after the merge" if held else "")


def _part(number: int, total: int) -> str:
    if number == total:
        return "it is" if total == 1 else "all of them are"
    return counted(number, "of them is", "of them are")


def warnings(plan: ChangePlan) -> tuple[str, ...]:
    """What nobody may overlook: bars that are lowered, and where."""
    told = []
    names = [one.environment for one in plan.environments if any(item.loosens for item in one.settings)]
    if names:
        more_of_them = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        told.append(f"lowers a bar in {', '.join(names[:_NAMED])}{more_of_them}")
    if plan.policy and any(item.loosens for item in plan.policy.settings):
        told.append("takes entries out of the common policy")
    return tuple(told)


def rewritten(plan: ChangePlan) -> str:
    """That nothing happens at all, because nobody may follow the branch; empty when it may be followed."""
    return f"The branch was rewritten, so every environment holds: {plan.rewritten}" if plan.rewritten else ""


REWRITTEN_HINT = "push the branch back to a history that contains that tip; if it was meant: reconciler accept-rewrite"


def run_of(one: Release | Declared | None) -> str:
    """A run with its short digest."""
    if one is None or one.run_id is None:
        return "-"
    return f"{one.run_id} ({short(one.sha256)})"


def runs(one: EnvironmentPlan) -> tuple[str, str]:
    """From which run to which: live now, and proposed."""
    before = NOT_KNOWN if one.live_unknown else run_of(one.live) if one.live else "nothing"
    return before, "-" if one.wanted is None else run_of(one.wanted)


def title(one: EnvironmentPlan) -> str:
    """What is done, with which runs."""
    before, after = runs(one)
    if one.plan is None and one.held and not (one.removed or one.live_unknown):
        word = one.held[0]
        then = f"run {before} stays live" if one.live else "nothing is live"
        return f"held by {word.gate}: {word.reason}; {then}"
    if one.wanted is None:
        return plandoc.act(one) + (f", run {before} stays live" if one.live else "")
    if same_artifact(one) or not (one.live or one.live_unknown):
        return f"{plandoc.act(one)}, run {after}"
    return f"{plandoc.act(one)}, run {before} {ARROW} {after}"


def shortened(text: str) -> str:
    """Digests by their first twelve digits; they are told in full elsewhere."""
    return _DIGEST.sub(r"\1", text)


def same_artifact(one: EnvironmentPlan) -> bool:
    """Whether what is live is what is proposed."""
    live, wanted = one.live, one.wanted
    return bool(live and wanted and (live.run_id, live.sha256) == (wanted.run_id, wanted.sha256))


def declared_before(one: EnvironmentPlan) -> str:
    """What the branch declares now, where that is not what is live; empty where it is."""
    was, live = one.was, one.live
    if was is None or (live and (was.run_id, was.sha256) == (live.run_id, live.sha256)):
        return ""
    return run_of(was)


def gates_in_brief(one: EnvironmentPlan) -> str:
    """Which gates stand in the way, in a few words."""
    if one.held:
        until = plandoc.earliest(one)
        when = f", not before {moment(until)}" if until else ""
        return ", ".join(f"{word.gate}: {word.reason}" for word in one.held) + when
    if any(word.verdict is Verdict.PENDING for word in one.gates):
        return "waits for approval"
    return "nothing in the way"


def in_the_way(one: Brief) -> str:
    """What stands in the way of an environment whose file stays, now or at its next promotion."""
    told = [f"{word.gate}: {word.reason}" for word in one.held]
    if one.frozen and all(word.gate is not Gate.FREEZE for word in one.held):
        since = "" if one.was_frozen else "from the merge on "
        until = f"until {moment(one.frozen.opens)}" if one.frozen.opens else "with no end in sight"
        told.append(f"frozen {since}{until}: {one.frozen.reason}")
    elif one.was_frozen and not one.frozen:
        told.append("no longer frozen, once the change is let in")
    return ", ".join(told) or "nothing in the way"


def without_repeats(word: GateResult) -> GateResult:
    """A gate's word without the evidence that its message says already."""
    return replace(word, evidence=tuple(text for text in word.evidence if text not in word.message))


def asked(gates: Sequence[GateResult]) -> tuple[tuple[GateResult, ...], str]:
    """The gates that have something to say, in order, and the names of those that were not asked."""
    silent = [word for word in gates if word.verdict is Verdict.NOT_REACHED and not word.message]
    return tuple(word for word in gates if word not in silent), ", ".join(word.gate.value for word in silent)


def entries(settings: Sequence[Setting]) -> Iterator[tuple[str, str, str]]:
    """Mark, list and text of the entries that leave a policy and come to it."""
    for item in settings:
        for mark, value in (("-", item.before), ("+", item.after)):
            if value is not None:
                yield mark, item.path, _entry(value)


def _entry(value: object) -> str:
    match value:
        case {"sha256": str(sha256), "reason": reason}:
            return f"{short(sha256)}: {reason}"
        case {"run_id": run, "reason": reason}:
            return f"run {run}: {reason}"
        case {"from": begin, "to": end, "time_zone": zone, "environments": names, "reason": reason}:
            return f"{reason}: from {begin} to {end} ({zone}), {_covered(names)}"
        case {"cron": cron, "duration": duration, "time_zone": zone, "environments": names, "reason": reason}:
            return f"{reason}: {cron} for {duration} ({zone}), {_covered(names)}"
        case {"environments": names, **rest}:
            return f"{', '.join(f'{key} {alterations.shown(item)}' for key, item in rest.items())}, {_covered(names)}"
    return alterations.shown(value)


def _covered(names: object) -> str:
    return "for all environments" if names == ("*",) else f"for {', '.join(map(alterations.shown, _items(names)))}"


def _items(names: object) -> Sequence[object]:
    return names if isinstance(names, tuple | list) else (names,)


def commits(built: Commits) -> str:
    """What the two runs were built from."""
    if built.before and built.before == built.after:
        return f"both built from {short(built.after)}"
    return f"{short(built.before)}..{short(built.after)}" if built.before else short(built.after)


def totals(changes: Changes) -> str:
    """How many files come, change, go and stay, and what becomes of the size."""
    before, after = changes.bytes_before, changes.bytes_after
    counts = (("added", changes.added), ("changed", changes.changed), ("removed", changes.removed))
    told = ", ".join(f"{len(items):,} {name}" for name, items in counts if items)
    grown = f"{size(before)} {ARROW} {size(after)}" if before else size(after)
    return f"{told or 'no file differs'}, {changes.unchanged:,} unchanged; {grown}"


def file_lines(changes: Changes, limit: int = SHOWN) -> Iterator[tuple[str, str, str]]:
    """Mark, path and size of the files that differ, in order of path, at most `limit` of them."""
    for change in changes.every[:limit]:
        yield _mark(change), change.path, _sizes(change)


def more(total: int, shown: int) -> str:
    """What is left out; empty when nothing is."""
    return f"and {total - shown:,} more" if total > shown else ""


def how_it_fails(one: EnvironmentPlan) -> tuple[tuple[str, str], ...]:
    """What happens on merge and on failure, and how it is undone."""
    told = (
        ("On merge", plandoc.on_merge(one)),
        ("On failure", plandoc.on_failure(one)),
        ("Undo", plandoc.undo(one)),
    )
    return tuple((title, text) for title, text in told if text)


def _mark(change: FileChange) -> str:
    return "+" if change.before is None else "-" if change.after is None else "!"


def _sizes(change: FileChange) -> str:
    before, after = change.before, change.after
    if before is None or after is None:
        fact = before or after
        return _fact(fact) if fact else ""
    mode = ""
    if before.executable is not after.executable:
        mode = ", now executable" if after.executable else ", no longer executable"
    if before.sha256 == after.sha256:
        return f"{size(after.size)}, same content{mode}"
    if before.size == after.size:
        return f"{size(after.size)}, other content{mode}"
    return f"{size(before.size)} {ARROW} {size(after.size)}{mode}"


def _fact(fact: FileFact) -> str:
    return size(fact.size) + (", executable" if fact.executable else "")
