"""One repository of a hub: what people do in it, done to real git."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.model import CommitId
from tests.github import merging
from tests.github.ci import Run
from tests.github.git import NOTHING, Bare, Files
from tests.github.state import Account, Activity, Comment, Deployment, Event, Pull, Review, Status
from tests.github.webhooks import Webhook

if TYPE_CHECKING:
    from tests.github.hub import Hub

DEFAULT = "main"


class HubRepository:
    """`owner/name`; made by `Hub.repository`."""

    def __init__(self, hub: Hub, name: str, folder: Path, private: bool) -> None:
        self.hub = hub
        self.id = hub.new_id()
        self.name = name
        self.private = private
        self.parent: HubRepository | None = None
        self.bare = Bare(folder)
        self.created = hub.now()
        self.permissions: dict[int, str] = {}
        self.pulls: list[Pull] = []
        self.activities: list[Activity] = []
        self.runs: dict[int, Run] = {}
        self.deployments: list[Deployment] = []
        self.webhooks: list[Webhook] = []
        self._statuses: list[Status] = []
        self._numbers = 0
        self._forks = 0

    def __str__(self) -> str:
        return self.name

    @property
    def owner(self) -> str:
        return self.name.split("/")[0]

    @property
    def git_url(self) -> str:
        """What an operator writes into `repository.url`."""
        return str(self.bare.folder)

    # --- rights -----------------------------------------------------------------------------------

    def allow(self, account: Account, permission: str) -> None:
        """From now on: admin, maintain, write, triage, read or none."""
        self.permissions[account.id] = permission

    def person(self, login: str, permission: str = "write") -> Account:
        """A new account with that permission here."""
        account = self.hub.person(login)
        self.allow(account, permission)
        return account

    def permission(self, account: Account) -> str:
        """What an account may; strangers read what is public."""
        return self.permissions.get(account.id, "none" if self.private else "read")

    # --- git --------------------------------------------------------------------------------------

    def git(self, *arguments: str) -> str:
        """Any git command in the bare repository."""
        return self.bare.git(*arguments)

    def tip(self, branch: str = DEFAULT) -> CommitId:
        """The commit that a branch points at."""
        found = self.bare.tip(f"refs/heads/{branch}")
        assert found, f"{self.name} has no branch {branch}"
        return CommitId(found)

    def parents(self, commit: str) -> list[CommitId]:
        """A commit's parents."""
        return [CommitId(one) for one in self.git("rev-list", "--parents", "-n1", commit).split()[1:]]

    def show(self, commit: str, path: str) -> str:
        """A file as of a commit, without white space at its ends."""
        return self.git("show", f"{commit}:{path}")

    def push(
        self,
        person: Account,
        branch: str,
        files: Files,
        message: str,
        co_authors: tuple[Account | str, ...] = (),
        author: Account | None = None,
        onto: str = DEFAULT,
    ) -> CommitId:
        """One commit on a branch, pushed by `person`; a new branch begins at the tip of `onto`.

        Args:
            person: Who pushes, and committed.
            branch: Where.
            files: New content by path; None removes.
            message: Of the commit.
            co_authors: Named in trailers; as `Name <address>` too.
            author: Who wrote it, if another one.
            onto: A branch or a commit.
        """
        with self.hub.acting():
            parent = self.bare.tip(f"refs/heads/{branch}") or self.bare.resolve(onto)
            trailers = "".join(f"\nCo-authored-by: {_named(one)}" for one in co_authors)
            text = message + (f"\n{trailers}" if trailers else "")
            tree = self.bare.tree(parent, files)
            wrote = (author or person).author
            commit = self.bare.commit(tree, (parent,) if parent else (), text, wrote, person.author, self.hub.now())
            self.moved(person, branch, commit)
            return CommitId(commit)

    def force_push(self, person: Account, branch: str, commit: str) -> None:
        """Point a branch at any commit, whatever that throws away."""
        with self.hub.acting():
            self.moved(person, branch, commit)

    def delete_branch(self, person: Account, branch: str) -> None:
        """Remove a branch."""
        with self.hub.acting():
            self.moved(person, branch, None)

    def moved(self, person: Account, branch: str, commit: str | None, kind: str = "") -> None:
        """A branch points elsewhere: git, the activity, pull requests and webhooks follow."""
        ref = f"refs/heads/{branch}"
        before = self.bare.tip(ref)
        self.bare.move(ref, commit)
        kind = kind or self._kind(before, commit)
        entry = Activity(self.hub.new_id(), person, ref, before or NOTHING, commit or NOTHING, kind, self.hub.now())
        self.activities.append(entry)
        merging.follow(self, person, branch, before)
        self.tell("push", account=person, activity=entry)

    def pushed(self, person: Account) -> None:
        """What somebody pushed with git itself since: GitHub notes that all the same."""
        with self.hub.acting():
            known = {one.ref: one.after for one in self.activities}
            for line in self.bare.lines("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/"):
                ref, _, after = line.partition(" ")
                before = known.get(ref, NOTHING)
                if after != before:
                    kind = self._kind(None if before == NOTHING else before, after)
                    entry = Activity(self.hub.new_id(), person, ref, before, after, kind, self.hub.now())
                    self.activities.append(entry)
                    self.tell("push", account=person, activity=entry)

    def _kind(self, before: str | None, after: str | None) -> str:
        if before is None or after is None:
            return "branch_creation" if after else "branch_deletion"
        return "push" if self.bare.contains(after, before) else "force_push"

    def fork(self, owner: Account) -> HubRepository:
        """A fork below somebody's account; objects are shared, as in GitHub's network of forks."""
        with self.hub.acting():
            self._forks += 1
            folder = self.bare.world.folder / f"fork-{self._forks}"
            fork = self.hub.repository(f"{owner.login}/{self.name.split('/')[1]}", folder)
            fork.parent = self
            fork.allow(owner, "admin")
            self.bare.share_with(fork.bare)
            fork.bare.move(f"refs/heads/{DEFAULT}", self.tip())
            return fork

    def network(self) -> list[HubRepository]:
        """This one, what it was forked from, and its forks: their commits and pull requests are known to each other."""
        root = self.parent or self
        others = [one for one in self.hub.repositories.values() if root in (one, one.parent) and one is not self]
        return [self, *others]

    # --- pull requests ----------------------------------------------------------------------------

    def open_pull(
        self,
        person: Account,
        head: str,
        base: str = DEFAULT,
        title: str = "",
        body: str = "",
        head_repository: HubRepository | None = None,
    ) -> Pull:
        """Ask for a branch to be let in to another one."""
        with self.hub.acting():
            self._numbers += 1
            source = head_repository or self
            tip, now = source.tip(head), self.hub.now()
            pull = Pull(
                self, self.hub.new_id(), self._numbers, person, source, head, tip, base, self.tip(base),
                title or self.git("show", "-s", "--format=%s", tip), body, now, updated=now,
            )  # fmt: skip
            self.pulls.append(pull)
            merging.refresh(pull)
            self.tell("pull_request", "opened", account=person, pull=pull)
            return pull

    def fork_pull(
        self, person: Account, files: Files, message: str, branch: str = "patch", base: str = DEFAULT, title: str = ""
    ) -> Pull:
        """A pull request whose head is a branch of the person's fork, made if it is not there yet."""
        name = f"{person.login}/{self.name.split('/')[1]}"
        fork = self.hub.repositories.get(name) or self.fork(person)
        fork.push(person, branch, files, message)
        return self.open_pull(person, branch, base, title, head_repository=fork)

    def foreign_pull(self, commit: str, person: Account) -> Pull:
        """A commit of ours is also what a pull request within the person's fork brought, merged there by them."""
        with self.hub.acting():
            fork = self.fork(person)
            fork.bare.move(f"refs/heads/{DEFAULT}", self.parents(commit)[0])
            fork.moved(person, "foreign", commit)
            pull = fork.open_pull(person, "foreign")
            fork.direct_push_of_pull(pull, person)
            return pull

    def review(self, pull: Pull, person: Account, state: str, commit: str | None = None, body: str = "") -> Review:
        """Somebody's word: APPROVED, CHANGES_REQUESTED or COMMENTED; of the head unless another commit is named."""
        with self.hub.acting():
            review = Review(self.hub.new_id(), pull, person, state, commit or pull.head_commit, body, self.hub.now())
            pull.reviews.append(review)
            self.tell("pull_request_review", "submitted", account=person, pull=pull, review=review)
            return review

    def dismiss(self, review: Review, person: Account | None = None) -> None:
        """A review counts no longer."""
        with self.hub.acting():
            review.state = "DISMISSED"
            who = person or self.hub.operator
            self.note(review.pull, "review_dismissed", who)
            self.tell("pull_request_review", "dismissed", account=who, pull=review.pull, review=review)

    def retarget(self, pull: Pull, base: str, person: Account | None = None) -> None:
        """Point a pull request at another branch."""
        with self.hub.acting():
            pull.base, pull.base_commit = base, self.tip(base)
            self.note(pull, "base_ref_changed", person or pull.author)
            merging.refresh(pull)
            self.tell("pull_request", "edited", account=person or pull.author, pull=pull)

    def merge(self, pull: Pull, person: Account, method: str = "merge", tamper: Files | None = None) -> CommitId:
        """Let it in by `merge`, `squash` or `rebase`; returns the last commit that this made on the base.

        Args:
            pull: An open one.
            person: Who presses the button; a merge queue is its bot.
            method: As GitHub calls it.
            tamper: Other content that gets into the (last) commit.

        Raises:
            Conflict: It can't be merged.
        """
        with self.hub.acting():
            return CommitId(merging.merge(pull, person, method, tamper or {}))

    def direct_push_of_pull(self, pull: Pull, person: Account) -> CommitId:
        """Push the head to the base: GitHub shows the pull request as merged, by who pushed."""
        with self.hub.acting():
            self.moved(person, pull.base, pull.head_commit)
            return pull.head_commit

    def close(self, pull: Pull, person: Account | None = None) -> None:
        """Close it, not merged."""
        with self.hub.acting():
            merging.closed(pull, person or pull.author)

    def note(self, pull: Pull, name: str, person: Account, commit: str | None = None) -> None:
        """One more line on its time line."""
        pull.updated = self.hub.now()
        pull.events.append(Event(self.hub.new_id(), name, person, pull.updated, commit))

    def comment(self, pull: Pull, person: Account, body: str) -> Comment:
        """Somebody says something."""
        with self.hub.acting():
            now = self.hub.now()
            pull.comments.append(Comment(self.hub.new_id(), pull.number, person, body, now, now))
            return pull.comments[-1]

    def comments(self, pull: Pull) -> list[Comment]:
        """What was said, oldest first."""
        return list(pull.comments)

    # --- CI and what is shown -----------------------------------------------------------------------

    def run(
        self,
        run_id: int,
        *,
        commit: str | None = None,
        branch: str = DEFAULT,
        event: str = "push",
        workflow: str = ".github/workflows/build.yml",
        status: str = "completed",
        conclusion: str | None = "success",
        head_repository: HubRepository | None = None,
    ) -> Run:
        """A workflow run; its artifacts come with `Run.artifact`."""
        with self.hub.acting():
            source = head_repository or self
            run = Run(
                self, run_id, source, commit or source.tip(branch), branch, event, workflow, status,
                conclusion if status == "completed" else None, self.hub.now(),
            )  # fmt: skip
            self.runs[run_id] = run
            self.tell("workflow_run", "completed" if status == "completed" else status, run=run)
            return run

    def statuses(self, commit: str) -> list[Status]:
        """Of a commit, newest first."""
        return [one for one in reversed(self._statuses) if one.commit == commit]

    def add_status(self, status: Status) -> None:
        """One more."""
        self._statuses.append(status)

    # --- webhooks -----------------------------------------------------------------------------------

    def webhook(self, url: str, secret: str) -> Webhook:
        """Real signed deliveries of all that happens from now on."""
        self.webhooks.append(Webhook(self, url, secret))
        return self.webhooks[-1]

    def tell(
        self,
        event: str,
        action: str = "",
        *,
        account: Account | None = None,
        pull: Pull | None = None,
        review: Review | None = None,
        activity: Activity | None = None,
        run: Run | None = None,
    ) -> None:
        """Deliver one event to every webhook, when the deed is done."""
        for webhook in self.webhooks:
            webhook.tell(event, action, account=account, pull=pull, review=review, activity=activity, run=run)


def _named(one: Account | str) -> str:
    return one if isinstance(one, str) else str(one.author)
