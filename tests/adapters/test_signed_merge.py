"""Signed merges with real ssh-keygen keys: who approved, who wrote, and every way to fake either."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

from reconciler.bounds import Bounds
from reconciler.errors import Reason, Terminal, Transient
from reconciler.forges import signed_merge
from reconciler.forges.signed_merge import SignedMerge
from reconciler.git import Mirror
from reconciler.machine.clock import SystemClock
from reconciler.model import ChangeRequest, CommitId
from reconciler.ports import Forge, Parts
from tests.gitworld import Author, GitWorld

DEV = "environments/dev.yaml"


class Stage:
    """A world with Alice, who writes, and Bob, who reviews; and the forge's view of it."""

    def __init__(self, folder: Path) -> None:
        self.world = GitWorld(folder / "world")
        self.folder = folder
        self.steps: list[str] = []
        self.alice = self.world.person("alice")
        self.bob = self.world.person("bob")
        self.begin = self.world.write(DEV, "1").commit(self.alice, "Begin").push().tip
        self.bounds = Bounds()
        self.branch = "main"

    def parts(self) -> Parts:
        repository = Mirror(self.world.url, "main", "environments", self.folder / "git", self.bounds, lambda _: None)
        if tip := repository.head():
            repository.fetch(tip)
        return Parts(
            SystemClock(), Random(0), self.steps.append, self.bounds, self.folder, repository, branch=self.branch
        )

    def forge(self, **options: object) -> Forge:
        return signed_merge.create({"allowed_signers": str(self.world.allowed_signers), **options}, self.parts())

    def request(self, commit: CommitId, **options: object) -> ChangeRequest:
        (request,) = self.forge(**options).facts(commit).requests
        return request

    def note(self, commit: CommitId, **options: object) -> str:
        """Why a commit is no approval."""
        facts = self.forge(**options).facts(commit)
        assert facts.requests == ()
        return facts.note

    def bump(self, text: str = "2", author: Author | None = None, *, sign: bool = True, message: str = "Bump") -> str:
        """A branch with one commit; returns its name."""
        name = f"bump-{text}"
        self.world.branch(name).write(DEV, text).commit(author or self.alice, message, sign=sign)
        return name


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def ids(request: ChangeRequest) -> set[str]:
    return {person.id for person in request.authors}


# --- what it waits for --------------------------------------------------------------------------


def test_the_merge_and_what_it_brings_are_checked_at_the_same_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check goes on only when the other has begun."""
    begun, tools = stage.folder / "begun", stage.folder / "bin"
    begun.mkdir()
    tools.mkdir()
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    wait = f'touch "{begun}/$$"; while [ "$(ls "{begun}" | wc -l)" -lt 2 ]; do sleep 0.01; done'
    (tools / "ssh-keygen").write_text(f'#!/bin/sh\n{wait}\nexec {shutil.which("ssh-keygen")} "$@"\n')
    (tools / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    assert stage.request(merge).merged_by is not None
    assert stage.steps == ["ssh-keygen"] * 2


def test_nothing_is_checked_of_what_an_unsigned_merge_brings(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob, sign=False).push().tip
    assert "carries no signature" in stage.note(merge)
    assert stage.steps == []


def test_what_was_checked_for_a_merge_is_not_checked_again(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    forge = stage.forge()
    assert forge.facts(merge) == forge.facts(merge)
    assert stage.steps == ["ssh-keygen"] * 2


def test_what_is_expected_is_checked_at_once_and_by_nobody_twice(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    forge = stage.forge()
    assert isinstance(forge, SignedMerge)
    forge.expect(merge)
    assert forge.facts(merge).requests, "under way or done: whoever asks gets that answer"
    assert stage.steps == ["ssh-keygen"] * 2


def test_a_fault_of_what_is_expected_is_told_to_who_asks_and_to_nobody_else(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    forge = stage.forge()
    assert isinstance(forge, SignedMerge)
    stage.world.allowed_signers.unlink()
    for _ in range(3):
        forge.expect(merge)
    with pytest.raises(Transient, match=str(stage.world.allowed_signers)):
        forge.facts(merge)


# --- who approved -------------------------------------------------------------------------------


def test_an_unsigned_merge_approves_nothing(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob, sign=False).push().tip
    assert "carries no signature" in stage.note(merge)


def test_a_merge_signed_with_an_unknown_key_names_the_key(stage: Stage) -> None:
    mallory = stage.world.person("mallory", allowed=False)
    assert mallory.key
    merge = stage.world.merge(stage.bump(), signer=mallory).push().tip
    shown = stage.world.run("ssh-keygen", "-l", "-f", str(mallory.key.private)).decode().split()[1]
    assert shown in stage.note(merge)
    assert "not among the allowed signers" in stage.note(merge)


def test_a_claimed_committer_counts_for_nothing(stage: Stage) -> None:
    mallory = stage.world.person("mallory")
    as_bob = Author(stage.bob.name, stage.bob.email, mallory.key)
    merge = stage.world.merge(stage.bump(), signer=as_bob).push().tip
    assert stage.request(merge).reviews[0].person.id == mallory.email


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(b"Merge bump-2", b"Merge bump-3", id="another message"),
        pytest.param(b"committer Bob", b"committer Eve", id="another committer"),
        pytest.param(b"tree ", b"encoding x\ntree ", id="another header"),
    ],
)
def test_a_merge_that_was_altered_after_it_was_signed_is_refused(stage: Stage, old: bytes, new: bytes) -> None:
    stage.world.merge(stage.bump(), signer=stage.bob)
    raw = stage.world.raw().replace(old, new, 1)
    if new.startswith(b"encoding"):  # git wants the tree first
        raw = stage.world.raw().replace(b"\n\n", b"\nencoding x\n\n", 1)
    merge = stage.world.commit_raw(raw)
    stage.world.push()
    assert "ssh-keygen refuses" in stage.note(merge)


def test_a_signature_moved_onto_another_merge_is_refused(stage: Stage) -> None:
    one = stage.world.merge(stage.bump(), signer=stage.bob).raw()
    signature = one[one.index(b"gpgsig") : one.index(b"-----END SSH SIGNATURE-----\n") + 28]
    stage.world.merge(stage.bump("3"), signer=stage.bob, sign=False)
    merge = stage.world.commit_raw(stage.world.raw().replace(b"\n\n", b"\n" + signature + b"\n", 1))
    stage.world.push()
    assert "ssh-keygen refuses" in stage.note(merge)


def test_a_signature_made_for_another_purpose_is_refused(stage: Stage) -> None:
    stage.world.merge(stage.bump(), signer=stage.bob, sign=False)
    merge = _sign_raw(stage, "file")
    assert "made for b'file'" in stage.note(merge)


def test_a_signature_made_by_hand_for_git_is_as_good(stage: Stage) -> None:
    stage.world.merge(stage.bump(), signer=stage.bob, sign=False)
    assert stage.request(_sign_raw(stage, "git")).merged_by is not None


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        pytest.param("MESSAGE", "x", "neither", id="another armor, such as that of X.509"),
        pytest.param("SSH SIGNATURE", "AAAA", "not well-formed", id="no signature inside"),
        pytest.param("SSH SIGNATURE", "U1NIU0lHAAAAAf////8=", "not well-formed", id="a length that lies"),
        pytest.param("SSH SIGNATURE", "A===", "not well-formed", id="no base64"),
        pytest.param("SSH SIGNATURE", "A" * 20_000, "of a size", id="a huge one"),
        pytest.param("PGP SIGNATURE", "\nAAAA", "no gpg_keyring", id="OpenPGP where only SSH is set up"),
    ],
)
def test_what_is_no_signature_is_told_as_such(stage: Stage, kind: str, body: str, words: str) -> None:
    stage.world.merge(stage.bump(sign=False), signer=stage.bob, sign=False)  # no other check runs beside this one
    merge = _with_signature(stage, f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----")
    assert words in stage.note(merge)
    assert "ssh-keygen" not in stage.steps


def test_two_signatures_in_one_commit_are_none(stage: Stage) -> None:
    stage.world.merge(stage.bump(), signer=stage.bob)
    raw = stage.world.raw()
    block = raw[raw.index(b"gpgsig") : raw.index(b"-----END SSH SIGNATURE-----\n") + 28]
    merge = stage.world.commit_raw(raw.replace(block, block + block))
    stage.world.push()
    assert stage.forge().facts(merge).requests == ()


# --- what was merged ----------------------------------------------------------------------------


def test_a_fast_forward_is_no_approval_even_if_each_commit_is_signed(stage: Stage) -> None:
    tip = stage.world.merge(stage.bump(), signer=stage.bob, ff=True).push().tip
    assert "not a merge" in stage.note(tip)


def test_the_first_commit_of_all_is_no_approval(stage: Stage) -> None:
    assert "not a merge" in stage.note(stage.begin)


def test_a_merge_of_several_branches_at_once_is_no_approval(stage: Stage) -> None:
    one = stage.bump("2")
    stage.world.switch("main").branch("docs").write("README", "x").commit(stage.alice, "Docs", sign=True)
    merge = stage.world.merge(one, "docs", signer=stage.bob).push().tip
    assert "2 branches at once" in stage.note(merge)


def test_a_merge_that_brings_nothing_new_can_not_bring_back_the_old(stage: Stage) -> None:
    stage.world.merge(stage.bump("2"), signer=stage.bob)
    tree = stage.world.rev(f"{stage.begin}^{{tree}}")
    parents = ("-p", stage.world.tip, "-p", stage.begin)
    stage.world.reset(stage.world.git("commit-tree", tree, *parents, "-m", "back", people=(stage.bob, stage.bob)))
    assert "brings no commit" in stage.note(_sign_raw(stage, "git"))


def test_a_merge_of_more_commits_than_can_be_judged_is_no_approval(stage: Stage) -> None:
    stage.bounds = Bounds(merged_commits=2)
    stage.bump("2")
    for text in ("3", "4"):
        stage.world.write(DEV, text).commit(stage.alice, "More", sign=True)
    merge = stage.world.merge("bump-2", signer=stage.bob).push().tip
    assert "bounds.merged_commits" in stage.note(merge)


def test_a_commit_too_large_to_be_read_is_told_as_no_approval(stage: Stage) -> None:
    huge = "Bump\n\n" + "x" * 40_000
    large = stage.world.merge(stage.bump(message=huge), signer=stage.bob).push().tip
    pushed = stage.world.write(DEV, "3").commit(stage.alice, huge, sign=True).push().tip
    stage.bounds = Bounds(commit_bytes=30_000)
    for commit in (large, pushed):
        assert "is larger than 30000 bytes" in stage.note(commit)


@pytest.mark.parametrize(
    ("subject", "branch"),
    [
        pytest.param("Merge branch 'bump-2' into release", "release", id="git's own words"),
        pytest.param("Merge branch 'bump-2' of /srv/x.git into release/1", "release/1", id="from elsewhere"),
        pytest.param("Merge branches 'a into main' and 'bump-2' into dev", "dev", id="the last word counts"),
        pytest.param("Merge tag 'v1' into release", "release", id="a tag"),
        pytest.param("Merge branch 'bump-2' into 'release'", "release", id="in quotes, as a forge writes it"),
    ],
)
def test_a_merge_that_was_signed_for_another_branch_is_none_here(stage: Stage, subject: str, branch: str) -> None:
    merge = _subject(stage, subject)
    assert f"for the branch {branch}," in stage.note(merge)
    for known in (branch, ""):
        stage.branch = known
        assert stage.request(merge).merged_by is not None


def test_git_itself_says_the_branch_that_it_merges_into(stage: Stage) -> None:
    name = stage.bump()
    stage.world.switch("main").branch("release")
    stage.world.git("-c", "gpg.format=ssh", "merge", "--no-ff", "--no-edit", name, people=(stage.bob, stage.bob))
    assert stage.world.git("log", "-1", "--format=%s").endswith("into release")


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param("Merge branch 'bump-2'", id="nothing said"),
        pytest.param("Merge branch 'bump-2' into HEAD", id="made on no branch"),
        pytest.param("Merge branch 'bump-2' into main", id="this branch"),
        pytest.param("Merge branch 'turn-a-into release'", id="a part of the branch's name"),
        pytest.param("Merge the retries into loader", id="words of a person"),
    ],
)
def test_a_merge_of_which_no_other_branch_can_be_told_is_one(stage: Stage, subject: str) -> None:
    assert stage.request(_subject(stage, subject)).merged_by is not None


# --- who wrote ----------------------------------------------------------------------------------


def test_who_merges_their_own_commits_is_an_author_of_them(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(author=stage.bob), signer=stage.bob).push().tip
    request = stage.request(merge)
    assert request.merged_by in request.authors


def test_an_unsigned_commit_has_a_claimed_author_and_is_not_proven(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(sign=False), signer=stage.bob).push().tip
    request = stage.request(merge)
    assert request.unproven_authors == (request.head,)
    assert ids(request) == {"email:alice@example.com"}


def test_claimed_authors_are_enough_where_the_operator_says_so(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(sign=False), signer=stage.bob).push().tip
    assert stage.request(merge, authors="claimed").unproven_authors == ()


def test_a_reviewer_who_commits_under_another_name_is_found_by_the_key(stage: Stage) -> None:
    as_alice = Author(stage.alice.name, stage.alice.email, stage.bob.key)
    merge = stage.world.merge(stage.bump(author=as_alice), signer=stage.bob).push().tip
    request = stage.request(merge)
    assert request.merged_by in request.authors
    assert ids(request) == {stage.bob.email, "email:alice@example.com"}


def test_a_commit_signed_by_a_stranger_is_not_proven(stage: Stage) -> None:
    stranger = stage.world.person("stranger", allowed=False)
    merge = stage.world.merge(stage.bump(author=stranger), signer=stage.bob).push().tip
    assert len(stage.request(merge).unproven_authors) == 1


def test_committers_and_co_authors_have_had_a_hand_in_it(stage: Stage) -> None:
    message = (
        "Bump\n\nCo-authored-by: Carol <Carol@Example.com>\nCO-AUTHORED-BY: dan@example.com\nSigned-off-by: E <e@x>"
    )
    stage.world.branch("bump").write(DEV, "2")
    stage.world.commit(Author("Zoe", "zoe@example.com"), message, sign=True, committer=stage.alice)
    merge = stage.world.merge("bump", signer=stage.bob).push().tip
    addresses = ("zoe", "alice", "carol", "dan")
    assert ids(stage.request(merge)) == {stage.alice.email, *(f"email:{name}@example.com" for name in addresses)}


def test_every_commit_of_the_branch_counts_and_none_of_the_main_line(stage: Stage) -> None:
    stage.bump("2")
    stage.world.write("README", "x").commit(stage.world.person("carol"), "Docs", sign=True)
    stage.world.switch("main").write("other", "x").commit(stage.world.person("dave"), "Meanwhile")
    merge = stage.world.merge("bump-2", signer=stage.bob).push().tip
    assert ids(stage.request(merge)) >= {"alice@example.com", "carol@example.com"}
    assert not {name for name in ids(stage.request(merge)) if "dave" in name}


# --- the operator's file ------------------------------------------------------------------------


def test_two_keys_of_one_principal_are_one_person(stage: Stage) -> None:
    second = stage.world.key("bob-laptop")
    stage.world.allow(stage.bob.email, second)
    by_laptop = Author("Bob", "bob@home", second)
    merge = stage.world.merge(stage.bump(author=by_laptop), signer=stage.bob).push().tip
    request = stage.request(merge)
    assert request.merged_by in request.authors


def test_two_principals_of_one_key_are_one_person_with_both_names(stage: Stage) -> None:
    assert stage.bob.key
    stage.world.allow("Bob@Home.example,lead", stage.bob.key)
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    person = stage.request(merge).merged_by
    assert person is not None
    assert person.id == "bob@example.com"
    assert person.names == {"bob@example.com", "bob@home.example", "lead"}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param('valid-before="20200101"', id="a key that has expired"),
        pytest.param('valid-after="29991231"', id="a key that is not yet valid"),
        pytest.param('namespaces="file"', id="a key for other purposes"),
    ],
)
def test_a_key_outside_its_bounds_approves_nothing(stage: Stage, options: str) -> None:
    carol = stage.world.person("carol", options=options)
    merge = stage.world.merge(stage.bump(), signer=carol).push().tip
    assert "ssh-keygen refuses" in stage.note(merge)


def test_a_key_within_its_bounds_approves(stage: Stage) -> None:
    carol = stage.world.person("carol", options='namespaces="file,git",valid-after="20200101",valid-before="29991231"')
    merge = stage.world.merge(stage.bump(), signer=carol).push().tip
    assert stage.request(merge).merged_by is not None


def test_a_key_that_is_taken_out_stops_approving_without_a_restart(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    forge = stage.forge()
    assert forge.facts(merge).requests
    lines = stage.world.allowed_signers.read_text().splitlines(keepends=True)
    stage.world.allowed_signers.write_text("".join(line for line in lines if "bob" not in line))
    assert forge.facts(merge).requests == ()
    stage.world.allowed_signers.write_text("".join(lines))
    assert forge.facts(merge).requests


def test_a_good_signature_is_checked_once(stage: Stage) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    forge = stage.forge()
    for _ in range(3):
        forge.facts(merge)
    assert stage.steps == ["ssh-keygen"] * 2


def test_a_signature_by_a_key_with_an_end_is_checked_each_time(stage: Stage) -> None:
    carol = stage.world.person("carol", options='valid-before="29991231"')
    merge = stage.world.merge(stage.bump(), signer=carol).push().tip
    forge = stage.forge()
    for _ in range(3):
        forge.facts(merge)
    assert stage.steps == ["ssh-keygen"] * 4


def _subject(stage: Stage, subject: str) -> CommitId:
    """A signed merge with this subject."""
    stage.world.merge(stage.bump(), signer=stage.bob, sign=False)
    head, _, _ = stage.world.raw().partition(b"\n\n")
    stage.world.commit_raw(head + b"\n\n" + subject.encode() + b"\n")
    return _sign_raw(stage, "git")


def _spoilt(line: str) -> Callable[[Path], object]:
    return lambda file: file.write_text(line + "\n")


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFn3wzTQ1Wm5p2yDkhhV6yqOXq5BDXJc0WOxnd9TwJzM"
SPOILT: dict[str, Callable[[Path], object]] = {
    "a pattern that lets in everybody": _spoilt(f"* {KEY}"),
    "a pattern in a domain": _spoilt(f"a@x,*@example.com {KEY}"),
    "a negated principal": _spoilt(f"!a@x {KEY}"),
    "a certificate authority": _spoilt(f"a@x cert-authority {KEY}"),
    "an unknown option": _spoilt(f"a@x no-such-option {KEY}"),
    "an option without its value": _spoilt(f"a@x valid-before {KEY}"),
    "a key cut short": _spoilt("a@x ssh-ed25519 AAAAC3"),
    "a key of another type": _spoilt(f"a@x {KEY.replace('ssh-ed25519', 'ssh-rsa')}"),
    "a line without a principal": _spoilt(KEY),
    "an empty principal": _spoilt(f"a@x,,b@x {KEY}"),
    "bytes that are no text": lambda file: file.write_bytes(b"\xff\xfe"),
    "a file that everybody may write": lambda file: file.chmod(0o666),
    "a file that its group may write": lambda file: file.chmod(0o660),
    "a file that is not there": lambda file: file.unlink(),
    "a folder": _folder,
    "a pipe": _pipe,
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_file_that_can_not_be_relied_upon_is_refused_by_name(stage: Stage, spoil: Callable[[Path], object]) -> None:
    running = stage.forge()
    spoil(stage.world.allowed_signers)
    with pytest.raises(Terminal) as refused:
        stage.forge()
    assert refused.value.reason is Reason.INVALID_SETTINGS
    assert str(stage.world.allowed_signers) in refused.value.message
    with pytest.raises(Transient) as failed:
        running.facts(stage.begin)
    assert failed.value.reason is Reason.FORGE_UNAVAILABLE
    assert failed.value.hint


def test_a_wrong_line_is_named_by_its_number(stage: Stage) -> None:
    with stage.world.allowed_signers.open("a") as file:
        file.write("# comment\n\nnot a line\n")
    with pytest.raises(Terminal, match=r"allowed_signers:5: "):
        stage.forge()


def test_options_that_name_no_keys_or_unknown_things_are_refused(stage: Stage) -> None:
    for options in ({}, {"allowed_signers": "/x", "authors": "guessed"}, {"allowed_signers": "/x", "extra": 1}):
        with pytest.raises(ValidationError):
            signed_merge.create(options, stage.parts())


# --- the tools ----------------------------------------------------------------------------------


def _tool(stage: Stage, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = stage.folder / "bin" / "ssh-keygen"
    place.parent.mkdir()
    place.write_text(script)
    place.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place.parent}:{os.environ['PATH']}")


def test_a_missing_tool_is_out_of_reach_and_no_refusal(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    forge = stage.forge()
    monkeypatch.setenv("PATH", str(stage.folder))
    with pytest.raises(Transient, match="ssh-keygen is not installed") as failed:
        forge.facts(merge)
    assert failed.value.reason is Reason.FORGE_UNAVAILABLE
    assert failed.value.hint


def test_a_tool_that_hangs_costs_its_deadline(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    stage.bounds = Bounds(git_local_seconds=1)
    forge = stage.forge()
    _tool(stage, "#!/bin/sh\nexec sleep 60\n", monkeypatch)
    with pytest.raises(Transient, match="did not end") as failed:
        forge.facts(merge)
    assert failed.value.reason is Reason.FORGE_UNAVAILABLE


def test_a_tool_that_failed_once_is_asked_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    merge = stage.world.merge(stage.bump(), signer=stage.bob).push().tip
    forge = stage.forge()
    with monkeypatch.context() as broken:
        _tool(stage, "#!/bin/sh\necho out of memory\nexit 255\n", broken)
        assert "out of memory" in forge.facts(merge).note
    assert forge.facts(merge).requests


def _sign_raw(stage: Stage, namespace: str) -> CommitId:
    """Sign the commit that the world stands on with Bob's key, for any namespace."""
    assert stage.bob.key
    sign = ("-Y", "sign", "-n", namespace, "-f", str(stage.bob.key.private))
    signature = stage.world.run("ssh-keygen", *sign, stdin=stage.world.raw()).decode()
    return _with_signature(stage, signature.strip())


def _with_signature(stage: Stage, signature: str) -> CommitId:
    header = "gpgsig " + signature.replace("\n", "\n ") + "\n"
    commit = stage.world.commit_raw(stage.world.raw().replace(b"\n\n", b"\n" + header.encode() + b"\n", 1))
    stage.world.push()
    return commit
