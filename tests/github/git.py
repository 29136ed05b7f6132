"""Plumbing on a bare repository: trees, commits and merges, made where GitHub makes them, without a working copy."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tests.gitworld import Author, GitWorld

NOTHING = "0" * 40
"""What a push says of a branch that is not there."""
Files = Mapping[str, str | bytes | None]
"""New content by path; None removes."""


class Conflict(Exception):
    """The two do not merge."""


class Bare:
    """One bare repository, made anew in a folder."""

    def __init__(self, folder: Path) -> None:
        self.world = GitWorld(folder)
        self.folder = self.world.origin
        # What GitHub's servers allow: https://docs.github.com/rest/git; any object of the network can be fetched.
        with (self.folder / "config").open("a") as file:
            file.write("[uploadpack]\n\tallowAnySHA1InWant = true\n\tallowFilter = true\n")
            file.write("[core]\n\tlogAllRefUpdates = false\n")

    def git(self, *arguments: str, stdin: bytes = b"", variables: Mapping[str, str] | None = None) -> str:
        """Any git command in it; returns what it says, stripped."""
        return self.world.run("git", *arguments, cwd=self.folder, stdin=stdin, variables=variables).decode().strip()

    def tip(self, ref: str) -> str | None:
        """The commit behind a reference's whole name; None when it is not there.

        Read without git, which asks for a process each time; nothing packs references here.
        """
        assert not (self.folder / "packed-refs").exists()
        place = self.folder / ref
        found = place.read_text().strip() if place.is_file() else None
        assert found is None or not found.startswith("ref:"), f"{ref} is {found}"
        return found

    def resolve(self, revision: str) -> str | None:
        """The commit behind a branch's name, a reference or an object name; None when there is none."""
        if tip := self.tip(f"refs/heads/{revision}"):
            return tip
        asked = f"{revision}^{{commit}}\n".encode()
        line = self.git("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked)
        return line.split()[0] if line.endswith(" commit") else None

    def lines(self, *arguments: str) -> list[str]:
        """The lines that a git command says."""
        return self.git(*arguments).splitlines()

    def move(self, ref: str, to: str | None) -> None:
        """Point a reference at a commit, or remove it."""
        self.git("update-ref", ref, to) if to else self.git("update-ref", "-d", ref)

    def tree(self, base: str | None, files: Files) -> str:
        """The tree of `base` with other files in it."""
        lines = []
        for path, text in files.items():
            content = text.encode() if isinstance(text, str) else text
            blob = NOTHING if content is None else self.git("hash-object", "-w", "--stdin", stdin=content)
            lines.append(f"{'0' if content is None else '100644'} {blob}\t{path}\n")
        with tempfile.TemporaryDirectory(dir=self.world.folder) as folder:
            index = {"GIT_INDEX_FILE": f"{folder}/index"}
            if base:
                self.git("read-tree", base, variables=index)
            self.git("update-index", "--index-info", stdin="".join(lines).encode(), variables=index)
            return self.git("write-tree", variables=index)

    def commit(
        self, tree: str, parents: tuple[str, ...], message: str, author: Author, committer: Author, at: datetime
    ) -> str:
        """Make a commit that nothing refers to yet."""
        moment = f"{int(at.timestamp())} +0000"
        variables = {"GIT_AUTHOR_DATE": moment, "GIT_COMMITTER_DATE": moment}
        for role, who in (("AUTHOR", author), ("COMMITTER", committer)):
            variables |= {f"GIT_{role}_NAME": who.name, f"GIT_{role}_EMAIL": who.email}
        sides = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", tree, *sides, stdin=message.encode(), variables=variables)

    def merged_tree(self, ours: str, theirs: str) -> str:
        """The tree of a merge.

        Raises:
            Conflict: They do not merge.
        """
        try:
            return self.git("merge-tree", "--write-tree", ours, theirs).split()[0]
        except AssertionError as error:
            raise Conflict(str(error)) from None

    def picked(self, base: str, commits: tuple[str, ...], committer: Author, at: datetime) -> tuple[str, ...]:
        """Each commit again, on top of the base: authors and messages kept, another committer."""
        world, variables = self.world, {"GIT_COMMITTER_DATE": f"{int(at.timestamp())} +0000"}
        variables |= {"GIT_COMMITTER_NAME": committer.name, "GIT_COMMITTER_EMAIL": committer.email}
        world.git("fetch", "--quiet", "origin", base, *commits)
        world.git("checkout", "--quiet", "--force", "--detach", base)
        world.run("git", "cherry-pick", "--allow-empty", "--keep-redundant-commits", *commits, variables=variables)
        world.git("push", "--quiet", "origin", "HEAD:refs/rebased/now")
        made = self.lines("rev-list", "--reverse", f"{base}..refs/rebased/now")
        self.move("refs/rebased/now", None)
        return tuple(made)

    def contains(self, ref: str, commit: str) -> bool:
        """Whether a commit is in a reference's history."""
        return not self.git("rev-list", "-n1", commit, "--not", ref)

    def share_with(self, other: Bare) -> None:
        """Objects of one are readable in the other, and back, as in GitHub's network of forks."""
        for one, two in ((self, other), (other, self)):
            with (one.folder / "objects" / "info" / "alternates").open("a") as file:
                file.write(f"{two.folder / 'objects'}\n")
