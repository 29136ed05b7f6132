"""Approval without a hosted forge: a merge commit, signed by somebody the operator knows.

The signer of a merge is its reviewer, the second parent the head that was reviewed, and the authors are all
who had a hand in the commits between the parents. Facts only; who may approve what, and whether the
merge left the content as it was reviewed, is judged elsewhere.

What a signature does not say is the branch it was meant for. Git writes it into the subject of a merge into
any branch but main and master; a merge whose subject names another branch than the tracked one is none
here. Where the subject says nothing, a merge signed for another branch is a good one here too, once somebody
who may push brings it to the tracked branch. Signers merge into that branch alone, or the operator protects
it against pushes of what was merged elsewhere.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Set
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reconciler.errors import PolicyDenied, Reason, ReconcilerError, Terminal
from reconciler.forges.signed_merge.checks import AT_ONCE, Checks
from reconciler.forges.signed_merge.files import KeyFiles
from reconciler.forges.signed_merge.people import Roster, claimed
from reconciler.forges.signed_merge.signatures import NotSigned, Signatures, Signed
from reconciler.forges.signed_merge.signers import Unusable
from reconciler.model import ChangeRequest, Commit, CommitId, Decision, ForgeFacts, Person, Proposal, Review
from reconciler.ports import Forge, Parts, Repository

VERDICTS = 8192
"""Commits whose signer is kept in memory."""

_CO_AUTHOR = re.compile(r"^[ \t]*co-authored-by[ \t]*:[ \t]*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_INTO = re.compile(
    r"Merge (?:pull request|branch|branches|remote-tracking branch|remote-tracking branches|tag|tags|commit|commits) "
    r".* into (?P<quote>['\"]?)(?P<branch>[^\s'\"]+)(?P=quote)"
)
"""Subjects that git writes (fmt-merge-msg), and forges after it; what people write in other words tells nothing."""

HOW = "on a branch, merged by somebody else with `git merge -S --no-ff`"
"""How a change is let in, for people."""


class SignedMergeOptions(BaseModel):
    """The operator's settings below `forge:` for this type."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    allowed_signers: Path | None = Field(
        None, strict=False, description="file of the people who may sign with SSH keys (ssh-keygen, ALLOWED SIGNERS)"
    )
    gpg_keyring: Path | None = Field(
        None, strict=False, description="keyring of the people who may sign with OpenPGP keys, from gpg --export"
    )
    authors: Literal["signed", "claimed"] = Field(
        "signed",
        description="signed: commits of a merged branch must be signed too, or nobody knows who wrote them; "
        "claimed: believe the author lines, which anybody can write",
    )

    @model_validator(mode="after")
    def _some_keys(self) -> SignedMergeOptions:
        if self.allowed_signers is None and self.gpg_keyring is None:
            raise ValueError("name allowed_signers, gpg_keyring, or both: without keys nobody can approve")
        return self


def create(options: Mapping[str, object], parts: Parts) -> Forge:
    """The forge, ready to use.

    Raises:
        pydantic.ValidationError: The options are not those of this type.
        Terminal: `InvalidSettings`: a file of keys can't be relied upon, or there is no repository.
    """
    if parts.repository is None:
        raise Terminal(Reason.INVALID_SETTINGS, "forge signed_merge: needs a repository to read commits from")
    settings = SignedMergeOptions.model_validate(dict(options))
    files = KeyFiles(settings.allowed_signers, settings.gpg_keyring)
    try:
        files.read()
    except Unusable as problem:
        hint = "nobody is trusted on the word of a file that can't be relied upon: correct it"
        raise Terminal(Reason.INVALID_SETTINGS, str(problem), hint) from None
    signatures = Signatures(files.keyring, parts.bounds.git_local_seconds, parts.trace)
    limit = parts.bounds.merged_commits
    return SignedMerge(parts.repository, files, signatures, limit, settings.authors == "signed", parts.branch)


class SignedMerge:
    """Implements `ports.Forge`. Safe to use from several threads.

    Args:
        repository: Where commits are read.
        files: The operator's keys.
        signatures: Checks them.
        limit: Most commits that one merge may bring.
        proven: Whether only signed commits tell their author.
        branch: The tracked branch; empty when it is not known, and then no merge is another branch's.
    """

    def __init__(
        self,
        repository: Repository,
        files: KeyFiles,
        signatures: Signatures,
        limit: int,
        proven: bool,
        branch: str = "",
    ) -> None:
        self._repository = repository
        self._files = files
        self._signatures = signatures
        self._limit = limit
        self._proven = proven
        self._branch = branch
        self._lock = threading.Lock()
        self._verdicts: OrderedDict[tuple[str, CommitId], Signed] = OrderedDict()
        self._under_way: dict[tuple[str, CommitId], Future[Signed | NotSigned]] = {}
        """Checks that somebody waits for: whoever asks for the same meanwhile gets the same answer."""
        self._ahead = threading.BoundedSemaphore(AT_ONCE)

    def facts(self, commit: CommitId, teams: Set[str] = frozenset()) -> ForgeFacts:  # noqa: ARG002 - of the port
        """How a commit came to the branch: by a merge that somebody signed, or not.

        Args:
            commit: On the branch's first-parent history.
            teams: Not asked for: every name that a person has stands in the operator's files.

        Raises:
            Transient: `ForgeUnavailable`: keys or tools are not at hand. `RepositoryUnavailable`.
        """
        roster = self._files.current()
        try:
            return self._facts(commit, roster)
        except PolicyDenied as refused:  # a commit too large to be read: what came with it is never approved
            return _none(commit, refused.message)

    def expect(self, commit: CommitId) -> None:
        """Passes may soon ask for a commit: begin with its signatures, in threads of their own.

        Reads the merge and its head, which a pass reads next in any case, and returns. Nothing rests on it: a pass asks
        anew, and finds under way or in memory what was begun here. Of what comes faster than it can be checked, the
        passes do the rest.
        """
        with suppress(ReconcilerError):  # told to the pass that meets it again
            roster, merge = self._files.current(), self._repository.commit(commit)
            if merge.signature is None or len(merge.parents) != 2:
                return
            for one in (merge, self._repository.commit(merge.parents[1])):
                if self._ahead.acquire(blocking=False):
                    threading.Thread(target=self._foresee, args=(one, roster), name="signatures", daemon=True).start()

    def _foresee(self, commit: Commit, roster: Roster) -> None:
        try:
            with suppress(ReconcilerError):
                self._signer(commit, roster)
        finally:
            self._ahead.release()

    def look_again(self) -> None:
        """Nothing to do: everything is read at each question."""

    def propose(self, proposal: Proposal) -> str | None:  # noqa: ARG002 - what the port passes
        """None: there are no pull requests here. A branch is let in by whoever merges it with their signature."""
        return None

    def proposed(self, branch: str) -> bool:  # noqa: ARG002 - what the port passes
        """False: there are no pull requests here."""
        return False

    @property
    def pull_requests(self) -> None:
        """None: there are none here."""
        return None

    @property
    def deployments(self) -> None:
        """None: rollouts are shown nowhere."""
        return None

    def _facts(self, commit: CommitId, roster: Roster) -> ForgeFacts:
        merge = self._repository.commit(commit)
        if len(merge.parents) != 2:
            return _none(commit, _kind(merge))
        with Checks(partial(self._signer, roster=roster), partial(self._known, roster=roster)) as checks:
            return self._judged(merge, checks, self._begin(merge, checks))

    def _begin(self, merge: Commit, checks: Checks) -> tuple[CommitId, ...] | None:
        """Have the merge and the first that it brings checked at once; returns what it brings, if it could be read.

        Nothing is judged here, and no fault told: the judge meets it again where it matters. Of a merge that nobody
        signed nothing is begun, or anybody who pushes could have us check signatures.
        """
        if merge.signature is None:
            return None
        checks.begin(merge)
        base, head = merge.parents
        with suppress(ReconcilerError):
            brought = self._repository.between(base, head, self._limit)
            for name in brought[:AT_ONCE]:
                checks.begin(self._repository.commit(name))
            return brought
        return None

    def _judged(self, merge: Commit, checks: Checks, brought: tuple[CommitId, ...] | None) -> ForgeFacts:
        commit = merge.id
        verdict = checks.of(merge)
        if isinstance(verdict, NotSigned):
            return _none(commit, f"the merge {verdict.why}")
        meant = _branch_in(merge.message)
        if self._branch and meant and meant != self._branch:
            return _none(
                commit, f"the merge was signed for the branch {meant[:200]}, as its subject says: not for this one"
            )
        base, head = merge.parents
        if brought is None:
            brought = self._repository.between(base, head, self._limit)
        if not brought:
            return _none(commit, "the merge brings no commit that was not there before, so nothing was reviewed")
        if len(brought) > self._limit:
            return _none(commit, f"the merge brings more than {self._limit} commits (bounds.merged_commits)")
        return ForgeFacts(commit, (self._request(merge, verdict.person, brought, checks),))

    def _request(self, merge: Commit, signer: Person, brought: tuple[CommitId, ...], checks: Checks) -> ChangeRequest:
        head = merge.parents[1]
        authors: dict[Person, None] = {}
        unproven: list[str] = []
        for name in brought:
            commit = self._repository.commit(name)
            verdict = checks.of(commit)
            if isinstance(verdict, Signed):
                authors[verdict.person] = None
            else:
                unproven.append(name)
            authors |= dict.fromkeys(_claims(commit))
        return ChangeRequest(
            ref=f"merge {merge.id[:12]}",
            title=merge.message.split("\n", 1)[0].strip()[:200],
            head=head,
            merged_as=merge.id,
            authors=tuple(authors),
            unproven_authors=tuple(unproven) if self._proven else (),
            reviews=(Review(signer, head, Decision.APPROVED),),
            merged_by=signer,
        )

    def _signer(self, commit: Commit, roster: Roster) -> Signed | NotSigned:
        """Who signed; good words are kept for as long as the operator's files stay the same."""
        key, answer = (roster.digest, commit.id), Future[Signed | NotSigned]()
        with self._lock:
            if key in self._verdicts:
                self._verdicts.move_to_end(key)
                return self._verdicts[key]
            coming = self._under_way.setdefault(key, answer)
        if coming is not answer:
            return coming.result()
        try:
            verdict = self._signatures.check(commit, roster)
            self._remember(key, verdict)
            answer.set_result(verdict)
        except BaseException as error:
            answer.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._under_way[key]
        return verdict

    def _remember(self, key: tuple[str, CommitId], verdict: Signed | NotSigned) -> None:
        if isinstance(verdict, Signed) and verdict.lasting:
            with self._lock:
                self._verdicts[key] = verdict
                while len(self._verdicts) > VERDICTS:
                    self._verdicts.popitem(last=False)

    def _known(self, commit: Commit, roster: Roster) -> Signed | None:
        """Who signed, when that is in memory."""
        key = roster.digest, commit.id
        with self._lock:
            if key in self._verdicts:
                self._verdicts.move_to_end(key)
            return self._verdicts.get(key)


def _claims(commit: Commit) -> list[Person]:
    """Everybody whom a commit itself names as having had a hand in it."""
    named = (commit.author, commit.committer, *_CO_AUTHOR.findall(commit.message))
    return [person for name in named if (person := claimed(name))]


def _branch_in(message: str) -> str | None:
    """The branch that a merge was made on, where its subject says so. A detached HEAD is no branch."""
    found = _INTO.fullmatch(message.lstrip("\n").split("\n", 1)[0].strip())
    return found["branch"] if found and found["branch"] != "HEAD" else None


def _kind(commit: Commit) -> str:
    """Why a commit that has not two parents is no approval."""
    if len(commit.parents) > 2:
        return f"it merges {len(commit.parents) - 1} branches at once, and nobody can tell what was reviewed"
    return "it is not a merge: somebody pushed it as it is, squashed it, or moved the branch forward to it"


def _none(commit: CommitId, note: str) -> ForgeFacts:
    return ForgeFacts(commit, (), note, HOW)
