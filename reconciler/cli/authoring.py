"""The two lines, changed on a branch of their own: `promote` and `rollback`. Nothing changes before somebody merges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import EnvironmentArgument, Output, OutputOption, known_environments, settings_file

if TYPE_CHECKING:
    from reconciler.cli.proposing.proposal import File, Proposed, Tip
    from reconciler.core.authoring import Move, Pin
    from reconciler.documents import Document
    from reconciler.model import EnvironmentName
    from reconciler.settings import Settings

RepoOption = Annotated[
    Path, typer.Option("--repo", metavar="DIR", help="Your clone of the repository with the declarations.")
]
RemoteOption = Annotated[str, typer.Option("--remote", metavar="NAME", help="The remote in your clone.")]
BranchOption = Annotated[
    str | None,
    typer.Option("--branch", metavar="NAME", help="The tracked branch; default: repository.branch of the settings."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the change and its message; push nothing.")]


def promote(
    ctx: typer.Context,
    environment: EnvironmentArgument,
    run: Annotated[int | None, typer.Option("--run", min=1, metavar="ID", help="The CI run to promote.")] = None,
    upstream: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="ENV",
            help="Promote what is declared for this environment.",
            autocompletion=known_environments,
        ),
    ] = None,
    repo: RepoOption = Path(),
    remote: RemoteOption = "origin",
    branch: BranchOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Propose another run: a branch that changes the two lines.

    Looks the run up at CI, commits under your name in your clone, pushes, and opens a pull request where the forge
    has them. Nothing runs before somebody lets it in. The same command twice gives one branch.
    """
    from reconciler.cli.proposing import evidence
    from reconciler.core.authoring import Kind, Move
    from reconciler.model import EnvironmentName, RunId

    if (run is None) == (upstream is None):
        raise Stop(ExitCode.USAGE, "say what to promote: either --run ID or --from ENV")
    with _at_the_tip(ctx, repo, remote, branch) as (settings, tip):
        file = tip.file(environment)
        if upstream is not None:
            found = evidence.of_environment(settings, tip, file, upstream)
        else:
            found = evidence.of_run(settings, file, RunId(run or 0))
        evidence.refuse_revoked(tip, found.pin)
        move = Move(Kind.PROMOTE, EnvironmentName(environment), file.pin, found.pin, found.evidence)
        _carry_out(settings, tip, file, move, dry_run, output)


def rollback(
    ctx: typer.Context,
    environment: EnvironmentArgument,
    to: Annotated[
        int | None,
        typer.Option("--to", min=1, metavar="RUN", help="The run to go back to; default: the last good one."),
    ] = None,
    revoke: Annotated[
        str | None, typer.Option("--revoke", metavar="REASON", help="Also revoke what is left, everywhere.")
    ] = None,
    repo: RepoOption = Path(),
    remote: RemoteOption = "origin",
    branch: BranchOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Propose an earlier release: the two lines changed back.

    The last good release is the one before the declared one, by the memory, or else by the history of the file. The
    digest is that of then; CI is not asked. Nothing runs before somebody lets it in.
    """
    from reconciler.cli.proposing.evidence import Past
    from reconciler.cli.render import note
    from reconciler.core.authoring import Kind, Move, Revocation
    from reconciler.model import EnvironmentName, RunId

    if revoke is not None:
        _check_reason(revoke)
    with _at_the_tip(ctx, repo, remote, branch) as (settings, tip):
        file, name = tip.file(environment), EnvironmentName(environment)
        past = Past(settings, tip, name, file)
        if to == file.pin.run_id:
            _nothing_to_do(name, file.pin, output)
            return
        found = past.of_run(RunId(to)) if to else past.last_good()
        revoked = Revocation(file.pin.sha256, revoke) if revoke else None
        if revoked and found.pin.sha256 == revoked.sha256:
            message = f"run {found.pin.run_id} holds the very bytes that are to be revoked"
            raise Stop(ExitCode.REFUSED, message, "name another run with --to")
        note(f"going back to run {found.pin.run_id}. {' '.join(found.evidence)}")
        move = Move(Kind.ROLLBACK, name, file.pin, found.pin, found.evidence, revoked)
        _carry_out(settings, tip, file, move, dry_run, output)


def _check_reason(reason: str) -> None:
    """See that a reason can stand in the policy file.

    Raises:
        Stop: It can't.
    """
    from pydantic import ValidationError

    from reconciler.core.rules import RevokedSpec

    try:
        RevokedSpec(sha256="0" * 64, reason=reason)
    except ValidationError:
        wanted = "text for people, on one line, of 1 to 200 characters"
        raise Stop(ExitCode.USAGE, f"--revoke: found {reason[:80]!r}; wanted {wanted}") from None


@contextmanager
def _at_the_tip(ctx: typer.Context, repo: Path, remote: str, branch: str | None) -> Iterator[tuple[Settings, Tip]]:
    """Stand on the tracked branch as it is now; git's no becomes the command's end."""
    from reconciler.cli.proposing import proposal
    from reconciler.cli.render import note
    from reconciler.git.author import AuthorFailed
    from reconciler.settings import find_file, load

    named = settings_file(ctx)
    settings = load(named)
    if find_file(named) is None:
        note("note: no settings file was found; name one with -c or RECONCILER_CONFIG, so that CI can be asked")
    try:
        yield settings, proposal.look(repo, remote, branch or settings.repository.branch, settings.bounds)
    except AuthorFailed as failed:
        raise proposal.stop(failed) from None


def _carry_out(settings: Settings, tip: Tip, file: File, move: Move, dry_run: bool, output: Output) -> None:
    from reconciler import documents
    from reconciler.cli import forms
    from reconciler.cli.proposing import proposal
    from reconciler.cli.render import note

    if move.before == move.after:
        _nothing_to_do(move.environment, move.after, output)
        return
    done = proposal.prepare(tip, file, move)
    if not dry_run:
        done = proposal.push(tip, done)
        if not done.signed and settings.forge and settings.forge.type == "signed_merge":
            note("note: the commit is not signed; unless the operator believes author lines, it can't be let in:")
            note("  set commit.gpgsign and a key, and run this again")
        done = proposal.with_url(settings, tip, done)
    forms.answer(
        output,
        lambda: documents.kind("Proposal", _document(move, done)),
        [move.branch],
        lambda: _preview(done) if dry_run else _show(tip, done),
    )


def _nothing_to_do(environment: EnvironmentName, declared: Pin, output: Output) -> None:
    from reconciler import documents
    from reconciler.cli import forms
    from reconciler.cli.render import note, say

    body = {
        **dict.fromkeys(("branch", "commit", "url", "message", "diff")),
        "environment": environment,
        "from": _pin(declared),
        "to": _pin(declared),
        "pushed": False,
    }
    text = f"{environment} declares run {declared.run_id} already; nothing to do"
    if output is Output.NAME:
        note(text)
    forms.answer(output, lambda: documents.kind("Proposal", body), (), lambda: say(text))


def _document(move: Move, done: Proposed) -> Document:
    return {
        "branch": move.branch,
        "commit": done.commit,
        "environment": move.environment,
        "from": _pin(move.before),
        "to": _pin(move.after),
        "pushed": done.pushed,
        "url": done.url,
        "message": move.message,
        "diff": done.diff,
    }


def _pin(pin: Pin) -> Document:
    return {"runId": pin.run_id, "sha256": pin.sha256}


def _preview(done: Proposed) -> None:
    """What would be made."""
    from reconciler.cli.render import note, say

    for line in [*done.move.message.rstrip("\n").split("\n"), "", *done.diff.rstrip("\n").split("\n")]:
        say(line)
    note(f"nothing was pushed; the branch would be {done.move.branch}")


def _show(tip: Tip, done: Proposed) -> None:
    """What was made, and what comes next."""
    from reconciler.cli.proposing import proposal
    from reconciler.cli.render import Cell, Page, note
    from reconciler.core.readable import ARROW

    move = done.move
    rows = [
        ("branch", move.branch if done.pushed else f"{move.branch}, there already"),
        ("commit", str(done.commit)),
        ("change", f"{move.environment}: run {move.before.run_id} {ARROW} {move.after.run_id}"),
    ]
    if move.revoked:
        rows.append(("revoked", f"sha256 {move.revoked.sha256}"))
    if done.url:
        rows.append(("request", done.url))
    Page().grid([(Cell(label, "dim"), text) for label, text in rows])
    if not done.url:
        note("nothing runs before somebody else lets it in, by typing:")
        for line in proposal.how_to_let_in(tip, move):
            note(f"  {line}")
