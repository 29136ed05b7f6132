"""What becomes of pull requests: references, merges by three methods with real git, and merges that others made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from reconciler.model import CommitId
from tests.github.git import Conflict, Files
from tests.github.state import Account, Pull

if TYPE_CHECKING:
    from tests.github.repository import HubRepository


def refresh(pull: Pull) -> None:
    """`refs/pull/N/head`, `refs/pull/N/merge` and what it would bring, as of now."""
    bare, base = pull.repository.bare, pull.repository.tip(pull.base)
    bare.move(f"refs/pull/{pull.number}/head", pull.head_commit)
    pull.commits = tuple(bare.lines("rev-list", "--reverse", "--topo-order", pull.head_commit, f"^{base}"))
    try:
        tree = bare.merged_tree(base, pull.head_commit)
    except Conflict:
        bare.move(f"refs/pull/{pull.number}/merge", None)
        return
    hub, text = pull.repository.hub, f"Merge {pull.head_commit} into {base}"
    trial = bare.commit(tree, (base, pull.head_commit), text, hub.github.author, hub.github.author, hub.now())
    bare.move(f"refs/pull/{pull.number}/merge", trial)


def follow(repository: HubRepository, person: Account, branch: str, before: str | None) -> None:
    """After a branch moved: its open pull requests have another head, or are found merged, or lost their head."""
    tip = repository.bare.tip(f"refs/heads/{branch}")
    for pull in _open(repository.hub.repositories.values()):
        if pull.head_repository is repository and pull.head == branch:
            _new_head(pull, person, tip)
        if pull.repository is repository and pull.base == branch and pull.state == "open" and tip:
            _found_merged(pull, person, before, tip)


def _open(repositories: Iterable[HubRepository]) -> list[Pull]:
    return [pull for repository in repositories for pull in repository.pulls if pull.state == "open"]


def _new_head(pull: Pull, person: Account, tip: str | None) -> None:
    if tip is None:
        closed(pull, person)
        return
    if not pull.repository.bare.contains(tip, pull.head_commit):
        pull.repository.note(pull, "head_ref_force_pushed", person, tip)
    pull.head_commit = CommitId(tip)
    pull.updated = pull.repository.hub.now()
    refresh(pull)
    pull.repository.tell("pull_request", "synchronize", account=person, pull=pull)


def _found_merged(pull: Pull, person: Account, before: str | None, tip: str) -> None:
    """docs: 'About pull request merges', indirect merges: the head is reachable from the base."""
    bare = pull.repository.bare
    if not bare.contains(tip, pull.head_commit):
        refresh(pull)
        return
    news = bare.lines("rev-list", "--first-parent", "--reverse", tip, *([f"^{before}"] if before else []))
    brought = next((commit for commit in news if bare.contains(commit, pull.head_commit)), tip)
    pull.landed = tuple(commit for commit in news if commit in (*pull.commits, brought))
    _merged(pull, person, pull.head_commit if pull.head_commit in news else brought)


def merge(pull: Pull, person: Account, method: str, tamper: Files) -> str:
    """Make the commits that a method makes, and move the base to them."""
    assert pull.state == "open", f"{pull} is {pull.state}"
    repository = pull.repository
    base = repository.tip(pull.base)
    made = {"merge": _by_merge, "squash": _by_squash, "rebase": _by_rebase}[method](pull, person, base)
    if tamper:
        made = (*made[:-1], _tampered(pull, made[-1], tamper))
    pull.landed = made
    pull.base_commit = base
    _merged(pull, person, made[-1])  # before the branch moves: nobody finds it merged a second time
    repository.moved(person, pull.base, made[-1], "pr_merge")
    return made[-1]


def _by_merge(pull: Pull, person: Account, base: str) -> tuple[str, ...]:
    bare, hub = pull.repository.bare, pull.repository.hub
    source = f"{pull.head_repository.owner}/{pull.head}"
    text = f"Merge pull request #{pull.number} from {source}\n\n{pull.title}"
    tree = bare.merged_tree(base, pull.head_commit)
    return (bare.commit(tree, (base, pull.head_commit), text, person.author, hub.github.author, hub.now()),)


def _by_squash(pull: Pull, _person: Account, base: str) -> tuple[str, ...]:
    """docs: 'About pull request merges', squash: the default message, and co-authors for whoever else wrote."""
    bare, hub = pull.repository.bare, pull.repository.hub
    messages = [bare.git("show", "-s", "--format=%B", commit) for commit in pull.commits]
    first, _, rest = messages[0].partition("\n")
    if len(messages) == 1:
        text = f"{first} (#{pull.number})\n{rest}"
    else:
        text = f"{pull.title} (#{pull.number})\n\n" + "\n\n".join(f"* {message}" for message in messages)
    wrote = dict.fromkeys(bare.git("show", "-s", "--format=%an <%ae>", commit) for commit in pull.commits)
    others = [f"Co-authored-by: {one}" for one in wrote if one != str(pull.author.author) and one not in text]
    text = text.rstrip() + ("\n\n" + "\n".join(others) if others else "")
    tree = bare.merged_tree(base, pull.head_commit)
    return (bare.commit(tree, (base,), text, pull.author.author, hub.github.author, hub.now()),)


def _by_rebase(pull: Pull, person: Account, base: str) -> tuple[str, ...]:
    """docs: 'About pull request merges', rebase: always a new committer, so always new commits."""
    bare = pull.repository.bare
    plain = bare.lines("rev-list", "--reverse", "--topo-order", "--no-merges", pull.head_commit, f"^{base}")
    return bare.picked(base, tuple(plain), person.author, pull.repository.hub.now())


def _tampered(pull: Pull, commit: str, files: Files) -> str:
    """The same commit with other content in it."""
    bare, hub = pull.repository.bare, pull.repository.hub
    parents = tuple(pull.repository.parents(commit))
    text = bare.git("show", "-s", "--format=%B", commit)
    author = next(iter(pull.repository.hub.accounts.values())).author
    found = hub.by_email(bare.git("show", "-s", "--format=%ae", commit))
    author = found.author if found else author
    return bare.commit(bare.tree(commit, files), parents, text, author, hub.github.author, hub.now())


def _merged(pull: Pull, person: Account, commit: str) -> None:
    repository = pull.repository
    pull.merged_as, pull.merged_by, pull.merged = CommitId(commit), person, repository.hub.now()
    repository.note(pull, "merged", person, commit)
    closed(pull, person)


def closed(pull: Pull, person: Account) -> None:
    """Not open any more, merged or not; its trial merge goes, its head stays."""
    pull.state, pull.closed = "closed", pull.repository.hub.now()
    pull.repository.bare.move(f"refs/pull/{pull.number}/merge", None)
    pull.repository.note(pull, "closed", person)
    pull.repository.tell("pull_request", "closed", account=person, pull=pull)
