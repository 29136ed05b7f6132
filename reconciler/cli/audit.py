"""The audit chain: out of the store as lines, and judged from the lines alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import Output, OutputOption, settings_file

if TYPE_CHECKING:
    from reconciler.cli.documents import Document
    from reconciler.core.audit import Verification
    from reconciler.ports import Store

app = typer.Typer(
    help="Export the record of what was done; verify an export.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Option("--output-file", metavar="FILE", help="Write here; default: stdout.")
    ] = None,
) -> None:
    """Write every entry as one line of JSON.

    A last line says how many there are, so that a cut end shows.
    """
    import sys

    from reconciler.cli import memory
    from reconciler.cli.render import counted, note

    with memory.recall(settings_file(ctx)) as known:
        if file is None:
            count = _write(known.store, sys.stdout.buffer)
            sys.stdout.flush()
        else:
            count = _write_file(known.store, file)
    note(counted(count, "entry", "entries"))


@app.command()
def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An export; - for stdin.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """Check an export, from the file alone.

    An edited, dropped, reordered or cut entry is found. Exits with 1 when something is wrong.
    """
    from reconciler.cli import documents

    found = _verified(file)
    documents.answer(
        output, lambda: documents.kind("AuditVerification", _document(found)), [], lambda: _show(file, found)
    )
    if not found.intact:
        raise typer.Exit(ExitCode.FAILED)


def _write(store: Store, out: BinaryIO) -> int:
    from reconciler.core.audit import START, line, trailer

    count, head = 0, START.hash
    for entry in store.audit():
        out.write(line(entry))
        count, head = count + 1, entry.hash
    out.write(trailer(count, head))
    out.flush()
    return count


def _write_file(store: Store, file: Path) -> int:
    """All of it or nothing: beside the file first, then in its place."""
    beside = file.with_name(f".{file.name}.part")
    try:
        with beside.open("wb") as out:
            count = _write(store, out)
        beside.replace(file)
    except OSError as error:
        raise Stop(ExitCode.FAILED, f"{file}: {error.strerror}", "name a place that can be written") from None
    finally:
        beside.unlink(missing_ok=True)
    return count


def _verified(file: str) -> Verification:
    import sys

    from reconciler.core.audit import lines, verify

    if file == "-":
        return verify(lines(sys.stdin.buffer))
    try:
        with Path(file).open("rb") as export:
            return verify(lines(export))
    except OSError as error:
        raise Stop(ExitCode.USAGE, f"{file}: {error.strerror}", "name a file that `audit export` wrote") from None


def _document(found: Verification) -> Document:
    return {
        "intact": found.intact,
        "entries": found.entries,
        "head": found.head,
        "problems": [{"line": problem.line, "what": problem.what} for problem in found.problems],
        "notes": [{"line": note.line, "what": note.what} for note in found.notes],
    }


def _show(file: str, found: Verification) -> None:
    from reconciler.cli.render import counted, note, say

    for problem in found.problems:
        say(f"{file}:{problem.line}: {problem.what}")
    for remark in found.notes:
        note(f"note: {file}:{remark.line}: {remark.what}")
    entries = counted(found.entries, "entry", "entries")
    if found.intact:
        say(f"intact: {entries}, the last has the hash {found.head}")
    else:
        note(f"{counted(len(found.problems), 'problem')} in {entries}: this is not what the store wrote")
