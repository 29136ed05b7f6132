"""Which commits on the branch's first-parent history a merged pull request brought there: a question to git alone.

GitHub names one commit, `merge_commit_sha`: the merge commit, the squashed commit, or the commit that the branch was
moved to by a rebase ("Get a pull request" in GitHub's REST documentation). A rebase is told from a squash by what
stands below it, for GitHub does not say which it was.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.forges.github.answers import ListedCommit
from reconciler.model import Commit, CommitId
from reconciler.ports import Repository


def landed(
    repository: Repository,
    commit: CommitId,
    merged: CommitId,
    head: CommitId,
    head_ref: str,
    listed: Sequence[ListedCommit],
) -> tuple[CommitId, ...]:
    """What came to the first-parent history, oldest first, `merged` last; empty when `commit` does not belong to it.

    Args:
        repository: Where commits are read.
        commit: The one that is asked about; on the branch's first-parent history.
        merged: The commit that GitHub names.
        head: The pull request's last commit.
        head_ref: Where it can be fetched.
        listed: All commits of the pull request, oldest first.

    Raises:
        Transient: `RepositoryUnavailable`.
        PolicyDenied: A commit is too large to be read.
    """
    if merged != commit and not repository.is_ancestor(commit, merged):
        return ()
    chain = _chain(repository, merged, head, head_ref, listed)
    return chain if commit in chain else ()


def _chain(
    repository: Repository, merged: CommitId, head: CommitId, head_ref: str, listed: Sequence[ListedCommit]
) -> tuple[CommitId, ...]:
    own = {one.sha for one in listed}
    if merged in own:
        return _moved_forward(repository, merged, own)
    last = repository.commit(merged)
    if len(last.parents) > 1:
        # A merge of anything but the head that was reviewed is another one's, whatever GitHub makes of it.
        return (merged,) if last.parents[1:] == (head,) else ()
    chain = _rebased(repository, last, [one for one in listed if len(one.parents) < 2])
    if len(chain) > 1:
        # A rebase always makes new commits ("About merge methods on GitHub"): what the head began at is none of them.
        repository.retrieve(head, head_ref)
        chain = () if repository.is_ancestor(chain[0], head) else chain
    return chain or (merged,)


def _moved_forward(repository: Repository, merged: CommitId, own: set[str]) -> tuple[CommitId, ...]:
    """The branch was moved to the pull request's own commit: as far down as its own commits reach."""
    chain: list[CommitId] = []
    name: CommitId | None = merged
    while name is not None and name in own and len(chain) < len(own):
        chain.append(name)
        parents = repository.commit(name).parents
        name = parents[0] if parents else None
    return tuple(reversed(chain))


def _rebased(repository: Repository, last: Commit, listed: Sequence[ListedCommit]) -> tuple[CommitId, ...]:
    """As many commits as were listed, each by the same author with the same message; else it was no rebase."""
    chain: list[CommitId] = []
    here: Commit | None = last
    for wanted in reversed(listed):
        if here is None or len(here.parents) > 1 or not _is_copy(here, wanted):
            return ()
        chain.append(here.id)
        if len(chain) < len(listed):
            here = repository.commit(here.parents[0]) if here.parents else None
    return tuple(reversed(chain))


def _is_copy(commit: Commit, listed: ListedCommit) -> bool:
    """Author and message stay in a rebase; committer, time and parent don't."""
    same_author = _plain(commit.author) == _plain(str(listed.commit.author or ""))
    return same_author and _plain(commit.message) == _plain(listed.commit.message)


def _plain(text: str) -> str:
    return " ".join(text.split())
