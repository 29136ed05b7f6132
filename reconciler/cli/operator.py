"""The operator's hand: `retry`, `suspend`, `resume`, `accept-rewrite`, each audited; and `check` of the set-up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import EnvironmentArgument, Output, OutputOption, settings_file

if TYPE_CHECKING:
    from reconciler.cli.memory import Memory
    from reconciler.model import EnvironmentName, OperatorHand, Rewrite


MAX_REASON = 200
"""Characters of an operator's reason."""


def retry(ctx: typer.Context, environment: EnvironmentArgument) -> None:
    """Try again what failed before under the same declaration."""
    from reconciler.errors import BAD_BYTES, DID_NOT_RUN
    from reconciler.model import Outcome

    with _hand(ctx, environment) as work:
        attempts = work.memory.store.attempts(work.name, 1)
        status = work.memory.store.statuses()[work.name]
        newest = (attempts[0].id or 0) if attempts else 0
        if newest > work.hand.retry_after:
            work.save("retry", replace(work.hand, retry_after=newest, by=user()))
        # Behind what did not run there may be the rollback, which succeeded.
        given_up = status.reason in BAD_BYTES | DID_NOT_RUN
        if given_up or (attempts and attempts[0].outcome is not Outcome.SUCCEEDED):
            work.done("is tried again")
        else:
            work.done("is looked at again", before="nothing failed; ")


def suspend(
    ctx: typer.Context,
    environment: EnvironmentArgument,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever asks later.", show_default=False)
    ],
) -> None:
    """Leave an environment alone until `resume`.

    No deployment, and no repair either.
    """
    _expect_reason(reason)
    with _hand(ctx, environment) as work:
        if work.hand.suspended and work.hand.reason == reason:
            work.done(f"was suspended already, by {work.hand.by}", wake=False)
            return
        work.save("suspend", replace(work.hand, suspended=True, reason=reason, by=user()))
        work.done("is suspended")


def resume(ctx: typer.Context, environment: EnvironmentArgument) -> None:
    """Take `suspend` back."""
    with _hand(ctx, environment) as work:
        if not work.hand.suspended:
            work.done("was not suspended", wake=False)
            return
        work.save("resume", replace(work.hand, suspended=False, reason="", by=user()))
        work.done("is resumed")


def accept_rewrite(
    ctx: typer.Context,
    commit: Annotated[str, typer.Argument(metavar="SHA", help="The rewritten branch's tip, or a commit below it.")],
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why, for whoever asks later.", show_default=False)
    ],
) -> None:
    """Follow a branch that was rewritten, from a commit on.

    Until then every environment holds with BranchRewritten. It approves nothing: a file that stands otherwise than
    it was last let in holds until it goes back to that.
    """
    from reconciler.cli import memory
    from reconciler.cli.render import say
    from reconciler.machine import statefolder

    _expect_reason(reason)
    with memory.recall(settings_file(ctx)) as known:
        rewrite = _rewrite(known, commit, reason)
        known.store.accept_rewrite(rewrite)
        instead = f", in place of {rewrite.instead_of[:12]}" if rewrite.instead_of else ""
        say(f"the branch is followed from {rewrite.tip[:12]} on{instead}")
        statefolder.wake(known.settings.state)
        memory.remark_idle(known.settings, "this counts from its next start on")


def _expect_reason(reason: str) -> None:
    """A reason is for whoever asks later: an empty one answers nothing.

    Raises:
        Stop: It is empty, or no single line.
    """
    if not reason.strip() or not reason.isprintable() or len(reason) > MAX_REASON:
        wanted = f"text for people, on one line, of 1 to {MAX_REASON} characters"
        raise Stop(ExitCode.USAGE, f"--reason: found {reason[:80]!r}; wanted {wanted}")


def _rewrite(known: Memory, commit: str, reason: str) -> Rewrite:
    """The operator's word, once it is clear that there is something to accept.

    Raises:
        Stop: There is not, or the commit is not one of the branch.
    """
    from reconciler import wiring
    from reconciler.declarations.tracker import NothingToAccept, accepted_rewrite
    from reconciler.machine.clock import SystemClock
    from reconciler.model import CommitId

    repository = wiring.open_repository(known.settings)
    try:
        return accepted_rewrite(repository, known.store, SystemClock(), CommitId(commit), user(), reason)
    except NothingToAccept as nothing:
        raise Stop(ExitCode.USAGE, nothing.message, nothing.hint) from None


def check(
    ctx: typer.Context,
    daemon: Annotated[
        bool, typer.Option("--daemon", help="Only whether a daemon runs for this state folder; for health checks.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Look whether all that the daemon needs is there."""
    from reconciler import documents
    from reconciler.cli import checks, forms
    from reconciler.cli.progress import showing

    config = settings_file(ctx)
    with showing("looking at each part, and asking those that are elsewhere"):
        found = [checks.daemon(config)] if daemon else checks.everything(config)
    forms.answer(
        output,
        lambda: documents.kind("CheckList", {"items": [checks.document(item) for item in found]}),
        [item.name for item in found if not item.ok],
        lambda: checks.show(found),
    )
    if not all(item.ok for item in found):
        raise typer.Exit(ExitCode.FAILED)


@dataclass(frozen=True, slots=True)
class _Work:
    """One environment, and what the operator asked for it so far."""

    memory: Memory
    name: EnvironmentName
    hand: OperatorHand

    def save(self, what: str, hand: OperatorHand) -> None:
        """Remember and audit."""
        from reconciler.machine.clock import SystemClock

        self.memory.store.save_hand(self.name, hand, what, SystemClock().now())

    def done(self, what: str, *, before: str = "", wake: bool = True) -> None:
        """Say what was done, and wake the daemon for it."""
        from reconciler.cli import memory
        from reconciler.cli.render import say
        from reconciler.machine import statefolder

        say(f"{before}{self.name} {what}")
        if wake:
            statefolder.wake(self.memory.settings.state)
            memory.remark_idle(self.memory.settings, "this counts from its next start on")


@contextlib.contextmanager
def _hand(ctx: typer.Context, environment: str) -> Iterator[_Work]:
    from reconciler.cli import memory

    with memory.recall(settings_file(ctx)) as known:
        (name,) = memory.chosen([environment], known.store.statuses())
        yield _Work(known, name, known.store.hand(name))


def user() -> str:
    """The name of the account that this process runs as; the environment, which anybody can set, is not asked."""
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
