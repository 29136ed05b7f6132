"""The audit chain: out of the store as lines, signed, and judged from the lines alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, TypeVar

import typer

from reconciler.cli.commands import Command
from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import Output, settings_file

if TYPE_CHECKING:
    from reconciler.cli.progress import Progress
    from reconciler.core.audit import Checkpoint, Signatures, Verification
    from reconciler.documents import Document
    from reconciler.ports import Store
    from reconciler.settings import Settings
    from reconciler.signing import Signer

app = typer.Typer(
    help="Export and sign the record of what was done; verify an export.", no_args_is_help=True, rich_markup_mode=None
)


class DocumentOutput(StrEnum):
    """How an answer is printed that names nothing."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


DocumentOption = Annotated[DocumentOutput, typer.Option("--output", "-o", help="How to print the answer.")]
T = TypeVar("T")
_TOLD_EACH = 1_000
"""Lines between two words of progress."""
KEY_BYTES = 32 * 1024
"""Largest file of public keys that is read."""


@app.command(cls=Command)
def export(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Option("--output-file", metavar="FILE", help="Write here; default: stdout.")
    ] = None,
) -> None:
    """Write every entry as one line of JSON.

    A line at the end says how many there are, so that a cut end shows. With the daemon's key, the last line signs that.
    """
    import sys

    from reconciler.cli import memory
    from reconciler.cli.render import note
    from reconciler.core.readable import counted

    with memory.recall(settings_file(ctx)) as known:
        signer = _signer(known.settings)
        if file is None:
            count = _write(known.store, signer, sys.stdout.buffer)
            sys.stdout.flush()
        else:
            count = _write_file(known.store, signer, file)
    note(counted(count, "entry", "entries") + ("" if signer else ", not signed: there is no key yet"))


@app.command(cls=Command)
def verify(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An export; - for stdin.")],
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUB", help="The daemon's public key: each signature and the end are checked."),
    ] = None,
    anchor: Annotated[
        str | None,
        typer.Option("--anchor", metavar="REPO", help="Path or URL of the repository that checkpoints are pushed to."),
    ] = None,
    ref: Annotated[
        str, typer.Option("--ref", metavar="REF", help="The reference they are pushed to.")
    ] = "refs/reconciler/audit",
    output: DocumentOption = DocumentOutput.TABLE,
) -> None:
    """Check an export.

    An edited, dropped, reordered or cut entry is found from the file alone. That the whole file was computed anew is
    found with --key, and that its end was cut with --anchor. Exits with 1 when something is wrong.
    """
    from reconciler import documents
    from reconciler.cli import forms

    signatures = _signatures(key) if key else None
    anchors = _anchors(anchor, ref) if anchor else ()
    found = _verified(file, signatures, anchors)
    forms.answer(
        Output(output.value),
        lambda: documents.kind("AuditVerification", _document(found)),
        [],
        lambda: _show(file, found, key),
    )
    if not found.intact:
        raise typer.Exit(ExitCode.FAILED)


@app.command(cls=Command)
def checkpoint(ctx: typer.Context, output: DocumentOption = DocumentOutput.TABLE) -> None:
    """Sign how far the record has come, now.

    The daemon does this by itself every audit.checkpoint_seconds. With audit.anchor set up, it is pushed there.
    """
    from reconciler import documents, wiring
    from reconciler.cli import forms, memory

    with memory.recall(settings_file(ctx)) as known:
        audit = known.settings.audit
        made = wiring.open_notary(known.settings, known.store).checkpoint()
    if made is None:
        raise Stop(ExitCode.NOT_YET, "there is no entry to sign yet")
    forms.answer(
        Output(output.value),
        lambda: documents.kind("AuditCheckpoint", _checkpoint_document(made, audit.anchor)),
        [],
        lambda: _show_checkpoint(made, audit.anchor),
    )


def _write(store: Store, signer: Signer | None, out: BinaryIO) -> int:
    """Entries, each checkpoint behind the entry that it speaks of, the end, and a signature over all of it."""
    from reconciler.core.audit import START, checkpoint_line, line, trailer
    from reconciler.machine.clock import SystemClock

    checkpoints = sorted(store.checkpoints(), key=lambda made: (made.entries, made.at))
    count, head = 0, START.hash
    for entry in store.audit():
        out.write(line(entry))
        count, head = count + 1, entry.hash
        while checkpoints and checkpoints[0].entries <= entry.seq:
            out.write(checkpoint_line(checkpoints.pop(0)))
    # what speaks of entries that are gone is not hidden from whoever verifies
    out.writelines(map(checkpoint_line, checkpoints))
    out.write(trailer(count, head))
    if signer:
        out.write(checkpoint_line(signer.sign(count, head, SystemClock().now())))
    out.flush()
    return count


def _write_file(store: Store, signer: Signer | None, file: Path) -> int:
    """All of it or nothing: beside the file first, then in its place."""
    beside = file.with_name(f".{file.name}.part")
    try:
        with beside.open("wb") as out:
            count = _write(store, signer, out)
        beside.replace(file)
    except OSError as error:
        raise Stop(ExitCode.FAILED, f"{file}: {error.strerror}", "name a place that can be written") from None
    finally:
        beside.unlink(missing_ok=True)
    return count


def _signer(settings: Settings) -> Signer | None:
    """With the key of the daemon. None while it has none of its own; one that the settings name must be there."""
    from reconciler.chores.notary import OWN_KEY
    from reconciler.signing import Signer
    from reconciler.wiring import silent

    key = settings.audit.key or settings.state / OWN_KEY
    if settings.audit.key is None and not key.exists():
        return None
    return Signer(key, settings.bounds.git_local_seconds, silent)


def _signatures(key: Path) -> Signatures:
    from reconciler.bounds import Bounds
    from reconciler.errors import Terminal
    from reconciler.signing import Verifier
    from reconciler.wiring import silent

    hint = "name the daemon's public key, `audit/key.pub` below its state folder, or a file of allowed signers"
    try:
        with key.open("rb") as file:
            text = file.read(KEY_BYTES + 1)
        if len(text) > KEY_BYTES:
            raise Stop(ExitCode.USAGE, f"{key}: more than {KEY_BYTES} bytes", hint)
        return Verifier(text.decode("utf-8", "replace"), Bounds().git_local_seconds, silent)
    except OSError as error:
        raise Stop(ExitCode.USAGE, f"{key}: {error.strerror}", hint) from None
    except Terminal as wrong:
        raise Stop(ExitCode.USAGE, f"{key}: {wrong.message}", hint) from None


def _anchors(repository: str, ref: str) -> tuple[Checkpoint, ...]:
    import tempfile

    from reconciler.bounds import Bounds
    from reconciler.errors import IntegrityError, Terminal, Transient
    from reconciler.git.anchor import Anchor
    from reconciler.wiring import silent

    try:
        anchors = Anchor(repository, ref, Path(tempfile.gettempdir()), Bounds(), silent).read()
    except IntegrityError:
        raise
    except (Terminal, Transient) as wrong:
        code = ExitCode.USAGE if isinstance(wrong, Terminal) else ExitCode.FAILED
        raise Stop(code, _as_options(wrong.message), _as_options(wrong.hint) or _WHICH) from None
    if not anchors:
        hint = "nothing was ever anchored there, or somebody deleted it: ask whoever runs the server"
        raise Stop(ExitCode.FAILED, f"--anchor: there is no {ref} in that repository", hint)
    return anchors


_WHICH = "name the repository that the daemon pushes checkpoints to"


def _as_options(text: str) -> str:
    """What is said of settings, said of the options that stand for them here."""
    return text.replace("repository.url", "--anchor").replace("audit.anchor", "--ref")


def _verified(file: str, signatures: Signatures | None, anchors: tuple[Checkpoint, ...]) -> Verification:
    import sys

    from reconciler.cli.progress import showing
    from reconciler.core.audit import lines, verify

    if file == "-":  # what comes through a pipe may be long in coming, and is asked for by somebody else
        return verify(lines(sys.stdin.buffer), signatures, anchors)
    try:
        with Path(file).open("rb") as export, showing(f"checking {file}") as progress:
            return verify(_counted(lines(export), file, progress), signatures, anchors)
    except OSError as error:
        raise Stop(ExitCode.USAGE, f"{file}: {error.strerror}", "name a file that `audit export` wrote") from None


def _counted(lines: Iterable[T], file: str, progress: Progress) -> Iterator[T]:
    """The same, while somebody is told how far it has come."""
    for n, one in enumerate(lines, 1):
        if n % _TOLD_EACH == 0:
            progress.tell(f"checking {file}: line {n}")
        yield one


def _document(found: Verification) -> Document:
    from reconciler.core.strictjson import time_text

    signed, anchored = found.signed, found.anchored
    return {
        "intact": found.intact,
        "entries": found.entries,
        "head": found.head,
        "checkpoints": found.checkpoints,
        "signed": signed and {"entries": signed.entries, "at": time_text(signed.at), "key": signed.key},
        "anchored": anchored and {"entries": anchored.entries, "at": time_text(anchored.at)},
        "problems": [{"line": problem.line, "what": problem.what} for problem in found.problems],
        "notes": [{"line": note.line, "what": note.what} for note in found.notes],
    }


def _checkpoint_document(made: Checkpoint, anchor: str | None) -> Document:
    from reconciler.core.strictjson import time_text
    from reconciler.signing import key_of

    said = {"entries": made.entries, "head": made.head, "at": time_text(made.at)}
    return {**said, "key": key_of(made), "anchor": anchor}


def _show_checkpoint(made: Checkpoint, anchor: str | None) -> None:
    from reconciler.cli.render import say
    from reconciler.core.readable import counted, moment
    from reconciler.signing import key_of

    say(f"{counted(made.entries, 'entry', 'entries')}, the last has the hash {made.head}")
    say(f"signed {moment(made.at)} by the key {key_of(made)}")
    if anchor:
        say(f"anchored at {anchor}")


def _show(file: str, found: Verification, key: Path | None) -> None:
    from reconciler.cli.render import note, say
    from reconciler.core.readable import counted, moment

    for problem in found.problems:
        say(f"{file}:{problem.line}: {problem.what}")
    for remark in found.notes:
        note(f"note: {file}:{remark.line}: {remark.what}")
    entries = counted(found.entries, "entry", "entries")
    if not found.intact:
        note(f"{counted(len(found.problems), 'problem')} in {entries}: this is not what the store wrote")
        return
    say(f"intact: {entries}, the last has the hash {found.head}")
    if signed := found.signed:
        say(f"signed: up to entry {signed.entries}, {moment(signed.at)}, by the key {signed.key}")
    elif found.checkpoints and key is None:
        note(f"note: {counted(found.checkpoints, 'signature')} not checked: name the daemon's public key with --key")
    elif key is None and found.anchored is None:
        note("note: nothing in this file is signed: without --key or --anchor it can't be told whether")
        note("  it was computed anew")
    if anchored := found.anchored:
        say(f"anchored: up to entry {anchored.entries}, {moment(anchored.at)}")
