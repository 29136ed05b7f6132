"""The github-actions source on the stateful GitHub: facts as they are, verdicts by the core, bytes to the last one."""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from reconciler.bounds import Bounds
from reconciler.cli.proposing import evidence, proposal
from reconciler.cli.proposing.proposal import File
from reconciler.core import declare
from reconciler.core.authoring import Pin
from reconciler.core.declare import Declaration
from reconciler.core.provenance import Provenance, judge_run
from reconciler.custody import DiskCustody
from reconciler.errors import IntegrityError, PolicyDenied, Reason, ReconcilerError, Transient
from reconciler.machine.clock import SystemClock
from reconciler.model import Artifact, Digest, Run, RunId
from reconciler.ports import Source
from reconciler.settings import Settings
from reconciler.sources import github_actions
from tests import factories
from tests.adapters.runs import parts
from tests.adapters.servers import Request, ScriptedServer, answer
from tests.directory_targets import Ground, tree
from tests.github import ci
from tests.github.hub import Hub
from tests.github.plugin import GitHub, github, referee  # noqa: F401
from tests.github.repository import HubRepository
from tests.github.state import Account

TOKEN = "CANARY_TOKEN_OF_THE_SOURCE"
RUN = RunId(17243512345)
BUILD = ".github/workflows/build.yml"
FILES = {"bin/shop": b"#!/bin/sh\n", "version": b"1\n"}
TARGET = "target: {type: directory, path: /srv/shop}\n"
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "github" / "build.yml"


@pytest.fixture
def hub(github: GitHub) -> Hub:  # noqa: F811
    return github.hub


@pytest.fixture
def shop(hub: Hub, tmp_path: Path) -> HubRepository:
    made = hub.repository("acme/shop", tmp_path / "shop")
    made.push(made.person("engineer"), "main", {"shop.py": "1\n"}, "Begin")
    return made


@pytest.fixture
def engineer(hub: Hub, shop: HubRepository) -> Account:
    found = hub.account("engineer")
    assert found
    return found


Make = Callable[..., Source]


@pytest.fixture
def make(github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:  # noqa: F811
    monkeypatch.setenv(TOKEN, github.token)

    def make(options: dict[str, Any] | None = None, **bounds: Any) -> Source:
        usual = {
            "repository": "acme/shop",
            "url": github.url,
            "token_env": TOKEN,
            "storage_hosts": [github.hub.storage.url.removeprefix("http://")],
        }
        return github_actions.create({**usual, **(options or {})}, parts(tmp_path, **bounds))

    return make


def declaration(digest: str, name: str = "shop") -> Declaration:
    return Declaration.model_validate(
        {
            "version": 1,
            "artifact": {"name": name, "run_id": RUN, "sha256": digest},
            "target": {"type": "directory", "path": "/srv/shop"},
        }
    )


def rules(shop: HubRepository) -> Provenance:
    return Provenance(repositories=(str(shop.id),), workflows=(BUILD,))


def judged(source: Source, shop: HubRepository, digest: str = "a" * 64) -> Artifact:
    """What the gate would say now."""
    return judge_run(source.run(RUN), declaration(digest), rules(shop), Bounds())


def refused(source: Source, shop: HubRepository, digest: str = "a" * 64) -> ReconcilerError:
    with pytest.raises(ReconcilerError) as caught:
        judged(source, shop, digest)
    assert caught.value.hint
    return caught.value


def read(source: Source, run: Run, offset: int = 0) -> bytes:
    with source.open(run, run.artifacts[0], offset) as stream:
        return b"".join(stream)


# --- facts --------------------------------------------------------------------------------------


def test_a_run_is_told_by_ids_with_its_artifact_as_github_states_it(shop: HubRepository, make: Make) -> None:
    stored = shop.run(RUN).artifact("shop", FILES)
    told = make().run(RUN)
    assert told == Run(
        run_id=RUN,
        repository=str(shop.id),
        head_repository=str(shop.id),
        workflow=BUILD,
        branch="main",
        event="push",
        commit=shop.tip(),
        conclusion="success",
        attempt=1,
        created=shop.runs[RUN].created,
        artifacts=(Artifact("shop", str(stored.id), len(stored.zip), Digest(stored.sha256), expired=False),),
        on_branch=True,
        repository_name="acme/shop",
        head_repository_name="acme/shop",
    )
    assert judge_run(told, declaration(stored.sha256), rules(shop), Bounds()).file == str(stored.id)


def test_a_commit_that_the_branch_has_left_behind_is_on_it(shop: HubRepository, engineer: Account, make: Make) -> None:
    shop.run(RUN)
    shop.push(engineer, "main", {"shop.py": "2\n"}, "Go on")
    assert make().run(RUN).on_branch is True


def test_a_branch_in_a_folder_is_found(shop: HubRepository, engineer: Account, make: Make) -> None:
    shop.push(engineer, "release/2026#1%41", {"shop.py": "2\n"}, "Go on")
    shop.run(RUN, branch="release/2026#1%41")
    assert make().run(RUN).on_branch is True


PATHS = {
    ".github/workflows/build.yml": ".github/workflows/build.yml",
    ".github/workflows/build.yml@main": ".github/workflows/build.yml",
    ".github/workflows/build.yml@refs/heads/main": ".github/workflows/build.yml",
    ".github/workflows/build.yml@other.yml": ".github/workflows/build.yml@other.yml",
    ".github/workflows/build.yml@other.YAML": ".github/workflows/build.yml@other.YAML",
    ".github/workflows/build.yml@other.yml@main": ".github/workflows/build.yml@other.yml",
    ".github/workflows/build.yml@a@b": ".github/workflows/build.yml@a",
    "acme/policies/.github/workflows/build.yml@main": "acme/policies/.github/workflows/build.yml",
}


@pytest.mark.parametrize(("path", "workflow"), PATHS.items(), ids=PATHS)
def test_a_workflow_is_told_without_its_ref_and_no_other_file_passes_for_it(
    path: str, workflow: str, shop: HubRepository, make: Make
) -> None:
    shop.run(RUN, workflow=path)
    assert make().run(RUN).workflow == workflow


def test_all_pages_of_artifacts_are_read(shop: HubRepository, make: Make) -> None:
    run = shop.run(RUN)
    ids = {str(run.artifact(f"part-{number}", {"x": str(number)}).id) for number in range(101)}
    told = make().run(RUN)
    assert {artifact.file for artifact in told.artifacts} == ids
    assert len(told.artifacts) == 101


def test_more_artifacts_than_allowed_are_none(shop: HubRepository, make: Make) -> None:
    run = shop.run(RUN)
    for number in range(3):
        run.artifact(f"part-{number}", {"x": "y"})
    assert len(make(run_artifacts=3).run(RUN).artifacts) == 3
    with pytest.raises(Transient, match="more than the allowed 2 artifacts") as caught:
        make(run_artifacts=2).run(RUN)
    assert "bounds.run_artifacts" in caught.value.hint


def test_an_artifact_of_old_has_no_digest_and_is_left_to_the_hash(shop: HubRepository, make: Make) -> None:
    shop.run(RUN).artifact("shop", FILES, digest=None)
    assert judged(make(), shop).sha256 is None


# --- what the core makes of them ------------------------------------------------------------------

Deed = Callable[[HubRepository, Account], object]


def on_a_branch(shop: HubRepository, engineer: Account) -> None:
    shop.push(engineer, "feature", {"shop.py": "2\n"}, "Try")
    shop.run(RUN, branch="feature")


def of_a_fork(shop: HubRepository, _: Account) -> None:
    stranger = shop.hub.person("stranger")
    fork = shop.fork(stranger)
    fork.push(stranger, "main", {"shop.py": "evil\n"}, "Evil")
    shop.run(RUN, head_repository=fork, commit=fork.tip())


def of_an_imposter_commit(shop: HubRepository, _: Account) -> None:
    """The run says that it is ours and of main; its commit is one that GitHub knows from a fork alone."""
    pull = shop.fork_pull(shop.hub.person("stranger"), {"shop.py": "evil\n"}, "Evil")
    shop.run(RUN, commit=pull.head_commit)


def of_a_tag_called_main(shop: HubRepository, engineer: Account) -> None:
    commit = shop.push(engineer, "feature", {"shop.py": "2\n"}, "Try")
    shop.git("update-ref", "refs/tags/main", commit)
    shop.run(RUN, commit=commit, branch="main")


def of_a_commit_forced_away(shop: HubRepository, engineer: Account) -> None:
    before = shop.tip()
    shop.push(engineer, "main", {"shop.py": "2\n"}, "Oops")
    shop.run(RUN)
    shop.force_push(engineer, "main", before)


def of_a_branch_that_is_gone(shop: HubRepository, engineer: Account) -> None:
    shop.push(engineer, "main-2", {"shop.py": "2\n"}, "Try")
    shop.run(RUN, branch="main-2").branch = "main-3"


def of_two_attempts(shop: HubRepository, _: Account) -> None:
    run = shop.run(RUN)
    run.artifact("shop", FILES)
    run.rerun().artifact("shop", {**FILES, "version": b"2\n"})


def of_a_run_with_the_name_twice(shop: HubRepository, _: Account) -> None:
    """The second one is on page two."""
    run = shop.run(RUN)
    run.artifact("shop", FILES)
    for number in range(100):
        run.artifact(f"part-{number}", {"x": "y"})
    run.artifact("shop", {"version": b"evil\n"})


def of_an_expired_artifact(shop: HubRepository, _: Account) -> None:
    shop.run(RUN).artifact("shop", FILES, digest=f"sha256:{'a' * 64}").expire()


VERDICTS: dict[str, tuple[Deed, type[ReconcilerError], Reason, str]] = {
    "a fork's run on a branch of our name": (of_a_fork, PolicyDenied, Reason.RUN_NOT_ALLOWED, "stranger/shop (id"),
    "an imposter commit": (of_an_imposter_commit, PolicyDenied, Reason.RUN_NOT_ALLOWED, "not in the history of the br"),
    "a tag called main": (of_a_tag_called_main, PolicyDenied, Reason.RUN_NOT_ALLOWED, "not in the history"),
    "a commit forced away": (of_a_commit_forced_away, PolicyDenied, Reason.RUN_NOT_ALLOWED, "not in the history"),
    "another workflow": (
        lambda shop, _: shop.run(RUN, workflow=".github/workflows/evil.yml"),
        PolicyDenied,
        Reason.RUN_NOT_ALLOWED,
        "workflow '.github/workflows/evil.yml'",
    ),
    "another event": (
        lambda shop, _: shop.run(RUN, event="pull_request"),
        PolicyDenied,
        Reason.RUN_NOT_ALLOWED,
        "event 'pull_request'",
    ),
    "another branch": (on_a_branch, PolicyDenied, Reason.RUN_NOT_ALLOWED, "branch 'feature'"),
    "failed": (
        lambda shop, _: shop.run(RUN, conclusion="failure"),
        PolicyDenied,
        Reason.RUN_NOT_SUCCESSFUL,
        "'failure'",
    ),
    "cancelled": (
        lambda shop, _: shop.run(RUN, conclusion="cancelled"),
        PolicyDenied,
        Reason.RUN_NOT_SUCCESSFUL,
        "'cancelled'",
    ),
    "running": (
        lambda shop, _: shop.run(RUN, status="in_progress"),
        Transient,
        Reason.RUN_NOT_SUCCESSFUL,
        "not ended yet",
    ),
    "queued": (lambda shop, _: shop.run(RUN, status="queued"), Transient, Reason.RUN_NOT_SUCCESSFUL, "not ended yet"),
    "a re-run under way": (
        lambda shop, _: shop.run(RUN).rerun(status="in_progress"),
        Transient,
        Reason.RUN_NOT_SUCCESSFUL,
        "not ended yet",
    ),
    "a re-run that failed": (
        lambda shop, _: shop.run(RUN).rerun(conclusion="failure"),
        PolicyDenied,
        Reason.RUN_NOT_SUCCESSFUL,
        "attempt 2, ended with 'failure'",
    ),
    "an artifact of each of two attempts": (
        of_two_attempts,
        PolicyDenied,
        Reason.ARTIFACT_AMBIGUOUS,
        "2 artifacts named 'shop'",
    ),
    "the same name again on page two": (
        of_a_run_with_the_name_twice,
        PolicyDenied,
        Reason.ARTIFACT_AMBIGUOUS,
        "2 artifacts named 'shop'",
    ),
    "no artifact": (lambda shop, _: shop.run(RUN), PolicyDenied, Reason.ARTIFACT_MISSING, "has no artifact named"),
    "expired": (of_an_expired_artifact, PolicyDenied, Reason.ARTIFACT_EXPIRED, "expired"),
    "another digest": (
        lambda shop, _: shop.run(RUN).artifact("shop", FILES, digest=f"sha256:{'b' * 64}"),
        IntegrityError,
        Reason.DIGEST_MISMATCH,
        "b" * 64,
    ),
}


@pytest.mark.parametrize(("deed", "family", "reason", "told"), VERDICTS.values(), ids=VERDICTS)
def test_a_run_that_may_not_be_promoted(
    deed: Deed,
    family: type[ReconcilerError],
    reason: Reason,
    told: str,
    shop: HubRepository,
    engineer: Account,
    make: Make,
) -> None:
    deed(shop, engineer)
    error = refused(make(), shop)
    assert (type(error), error.reason) == (family, reason)
    assert told in error.message


def test_a_branch_that_is_gone_proves_nothing_although_any_branch_is_allowed(
    shop: HubRepository, engineer: Account, make: Make
) -> None:
    of_a_branch_that_is_gone(shop, engineer)
    told = make().run(RUN)
    assert told.on_branch is False
    anything = Provenance(repositories=("*",), workflows=("*",), branches=("*",), events=("*",))
    with pytest.raises(PolicyDenied, match="'main-3'"):
        judge_run(told, declaration("a" * 64), anything, Bounds())


def test_the_same_run_is_allowed_again_when_its_commit_comes_back(
    shop: HubRepository, engineer: Account, make: Make
) -> None:
    of_a_commit_forced_away(shop, engineer)
    stored = shop.runs[RUN].artifact("shop", FILES)
    source = make()
    assert refused(source, shop, stored.sha256).reason is Reason.RUN_NOT_ALLOWED
    shop.force_push(engineer, "main", shop.runs[RUN].commit)
    assert judged(source, shop, stored.sha256).sha256 == stored.sha256


def test_a_repository_that_took_over_the_name_is_not_ours(
    hub: Hub, shop: HubRepository, make: Make, tmp_path: Path
) -> None:
    source = make({"repository": "acme/taken"})
    taken = hub.repository("acme/taken", tmp_path / "taken")
    taken.push(taken.person("stranger"), "main", {"shop.py": "evil\n"}, "Evil")
    taken.run(RUN).artifact("shop", FILES)
    assert f"repository acme/taken (id {taken.id})" in refused(source, shop).message


def test_a_rule_that_names_the_repository_is_told_the_id(shop: HubRepository, make: Make) -> None:
    shop.run(RUN).artifact("shop", FILES)
    named = Provenance(repositories=("acme/shop",), workflows=(BUILD,))
    with pytest.raises(PolicyDenied) as caught:
        judge_run(make().run(RUN), declaration("a" * 64), named, Bounds())
    assert f"the id of acme/shop is '{shop.id}' now" in caught.value.hint


# --- what GitHub would not say, and what can't be read ---------------------------------------------


def test_a_run_that_is_not_there_is_denied_until_it_comes(shop: HubRepository, make: Make) -> None:
    source = make()
    with pytest.raises(PolicyDenied) as caught:
        source.run(RUN)
    assert caught.value.reason is Reason.RUN_NOT_FOUND
    assert f"acme/shop has no run {RUN}" in caught.value.message
    assert "token" in caught.value.hint
    shop.run(RUN)
    assert source.run(RUN).run_id == RUN


def test_a_run_that_was_deleted_is_not_found_although_it_was_asked_before(shop: HubRepository, make: Make) -> None:
    run = shop.run(RUN)
    source = make()
    source.run(RUN)
    run.delete()
    with pytest.raises(PolicyDenied) as caught:
        source.run(RUN)
    assert caught.value.reason is Reason.RUN_NOT_FOUND


@pytest.mark.parametrize("what", ["/actions/runs/17243512345", "/artifacts", "/compare/"])
@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_a_refusal_or_a_fault_of_github_decides_nothing(
    what: str, status: int, hub: Hub, shop: HubRepository, make: Make
) -> None:
    shop.run(RUN).artifact("shop", FILES)
    hub.fail(status, times=2, path=what)  # a 401 is asked again once, with a token that may be a new one
    with pytest.raises(Transient) as caught:
        make().run(RUN)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert caught.value.hint


def test_a_bad_second_answer_is_not_covered_up_with_the_good_first_one(
    hub: Hub, shop: HubRepository, make: Make
) -> None:
    shop.run(RUN)
    source = make()
    first = source.run(RUN)
    hub.fail(500, path="/compare/")
    with pytest.raises(Transient):
        source.run(RUN)
    assert source.run(RUN) == first
    shop.runs[RUN].rerun(conclusion="failure")
    assert source.run(RUN).conclusion == "failure"


def test_while_a_rate_limit_is_in_force_nothing_is_asked(hub: Hub, shop: HubRepository, make: Make) -> None:
    shop.run(RUN)
    source = make()
    hub.limit_secondary(retry_after=60)
    hub.forget()
    for _ in range(3):
        with pytest.raises(Transient, match="SourceUnavailable: GitHub's secondary rate limit"):
            source.run(RUN)
    assert hub.requests == 1


def said(**changes: Any) -> dict[str, Any]:
    """A run as GitHub tells it, by hand. A value of ... leaves the field out."""
    repository = {"id": 4711, "full_name": "acme/shop"}
    fields = {
        "id": RUN,
        "repository": repository,
        "head_repository": repository,
        "path": BUILD,
        "head_branch": "main",
        "head_sha": "c" * 40,
        "event": "push",
        "status": "completed",
        "conclusion": "success",
        "run_attempt": 1,
        "created_at": "2026-03-01T12:00:00Z",
        **changes,
    }
    return {key: value for key, value in fields.items() if value is not ...}


def listed(**changes: Any) -> dict[str, Any]:
    fields = {"id": 5, "name": "shop", "size_in_bytes": 10, "expired": False, "digest": f"sha256:{'a' * 64}", **changes}
    return {key: value for key, value in fields.items() if value is not ...}


def scripted(
    run: object = None, artifacts: object = None, comparison: object = None, kind: str = "application/json"
) -> Callable[[Request], Iterator[bytes]]:
    """A GitHub that says just this."""

    def script(request: Request) -> Iterator[bytes]:
        body = said() if run is None else run
        if "/artifacts" in request.path:
            body = {"total_count": 1, "artifacts": [listed()]} if artifacts is None else artifacts
        if "/compare/" in request.path:
            body = {"status": "identical"} if comparison is None else comparison
        yield answer("200 OK", body if isinstance(body, bytes) else json.dumps(body).encode(), Content_Type=kind)

    return script


@pytest.fixture
def by_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    monkeypatch.setenv(TOKEN, "canary-5e884898")
    with ExitStack() as stack:

        def run(**how: Any) -> Run:
            server = stack.enter_context(ScriptedServer(scripted(**how)))
            options = {"repository": "acme/shop", "url": server.url, "token_env": TOKEN}
            return github_actions.create(options, parts(tmp_path)).run(RUN)

        yield run


def test_what_is_asked_for_is_all_that_has_to_be_there(by_script: Callable[..., Run]) -> None:
    told = by_script()
    assert (told.repository, told.on_branch, told.artifacts[0].sha256) == ("4711", True, "a" * 64)


FACTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a head repository that is gone": ({"head_repository": None}, {"head_repository": "", "head_repository_name": ""}),
    "no branch": ({"head_branch": None}, {"branch": "", "on_branch": False}),
    "ended, nobody says how": ({"conclusion": None}, {"conclusion": ""}),
    "under way, with the end of the attempt before": ({"status": "in_progress"}, {"conclusion": "in_progress"}),
    "nothing said of how far it is": ({"status": None}, {"conclusion": ""}),
    "a GitHub of old without attempts": ({"run_attempt": ...}, {"attempt": 1}),
}


@pytest.mark.parametrize(("changes", "facts"), FACTS.values(), ids=FACTS)
def test_what_is_missing_is_told_as_missing(
    changes: dict[str, Any], facts: dict[str, Any], by_script: Callable[..., Run]
) -> None:
    told = by_script(run=said(**changes))
    assert {name: getattr(told, name) for name in facts} == facts


STATUSES = {"identical": True, "behind": True, "ahead": False, "diverged": False}


@pytest.mark.parametrize(("status", "on_branch"), STATUSES.items(), ids=STATUSES)
def test_a_commit_is_on_its_branch_when_the_branch_has_all_of_it(
    status: str, on_branch: bool, by_script: Callable[..., Run]
) -> None:
    assert by_script(comparison={"status": status}).on_branch is on_branch


def test_an_artifact_that_two_pages_tell_is_one(by_script: Callable[..., Run]) -> None:
    told = by_script(artifacts={"artifacts": [listed(), listed(), listed(id=6, name="docs", digest=None)]})
    assert [artifact.name for artifact in told.artifacts] == ["shop", "docs"]


UNREADABLE: dict[str, dict[str, Any]] = {
    "another run": {"run": said(id=RUN + 1)},
    "no repository": {"run": said(repository=None)},
    "a repository by its name alone": {"run": said(repository={"full_name": "acme/shop"})},
    "an id that is text": {"run": said(repository={"id": "4711", "full_name": "acme/shop"})},
    "an id that is true": {"run": said(repository={"id": True, "full_name": "acme/shop"})},
    "a commit that is none": {"run": said(head_sha="main")},
    "a branch that moves the cursor": {"run": said(head_branch="main\x1b[2J")},
    "a branch that reads backwards": {"run": said(head_branch="\u202eniam")},
    "a time without a zone": {"run": said(created_at="2026-03-01T12:00:00")},
    "no attempt": {"run": said(run_attempt=0)},
    "a list": {"run": []},
    "null": {"run": b"null"},
    "HTML": {"run": b"<html>sign in</html>", "kind": "text/html"},
    "half of it": {"run": json.dumps(said()).encode()[:-9]},
    "a key twice": {"run": json.dumps(said()).encode()[:-1] + b', "conclusion": "success"}'},
    "a digest without its kind": {"artifacts": {"artifacts": [listed(digest="a" * 64)]}},
    "a digest of another kind": {"artifacts": {"artifacts": [listed(digest=f"sha512:{'a' * 64}")]}},
    "a digest in capitals": {"artifacts": {"artifacts": [listed(digest=f"sha256:{'A' * 64}")]}},
    "a digest that is short": {"artifacts": {"artifacts": [listed(digest="sha256:a")]}},
    "a digest with a line behind it": {"artifacts": {"artifacts": [listed(digest=f"sha256:{'a' * 64}\n")]}},
    "an empty digest": {"artifacts": {"artifacts": [listed(digest="")]}},
    "an artifact of less than no size": {"artifacts": {"artifacts": [listed(size_in_bytes=-1)]}},
    "an artifact that may have expired": {"artifacts": {"artifacts": [listed(expired=...)]}},
    "artifacts elsewhere": {"artifacts": {"items": []}},
    "a status that nobody knows": {"comparison": {"status": "almost"}},
    "no status": {"comparison": {}},
}


@pytest.mark.parametrize("how", UNREADABLE.values(), ids=UNREADABLE)
def test_an_answer_that_can_not_be_understood_is_none(how: dict[str, Any], by_script: Callable[..., Run]) -> None:
    with pytest.raises(Transient) as caught:
        by_script(**how)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert caught.value.message.isprintable()
    assert "canary" not in caught.value.message + caught.value.hint


# --- bytes --------------------------------------------------------------------------------------


def custody(tmp_path: Path) -> DiskCustody:
    return DiskCustody(tmp_path / "custody", Bounds(), SystemClock(), lambda _: None)


def obtain(tmp_path: Path, source: Source, run: Run, digest: str | None = None) -> bytes:
    wanted = digest or run.artifacts[0].sha256
    assert wanted
    with custody(tmp_path).obtain(Digest(wanted), lambda offset: source.open(run, run.artifacts[0], offset)) as held:
        return held.file.read()


def test_the_zip_comes_as_it_is_stored_and_the_storage_sees_no_token(hub: Hub, shop: HubRepository, make: Make) -> None:
    stored = shop.run(RUN).artifact("shop", FILES)
    source = make()
    assert read(source, source.run(RUN)) == stored.zip
    assert len(hub.storage.calls) == 1
    assert hub.storage.tokens_seen == []
    assert hub.token not in str(hub.storage.calls)


def test_a_download_that_is_cut_goes_on_where_it_was(hub: Hub, shop: HubRepository, make: Make, tmp_path: Path) -> None:
    stored = shop.run(RUN).artifact("shop", {"big": bytes(range(256)) * 4096, "noise": os.urandom(500_000)})
    source = make()
    run = source.run(RUN)
    hub.storage.cut_after(300_000)
    with pytest.raises(Transient) as caught:
        obtain(tmp_path, source, run)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert obtain(tmp_path, source, run) == stored.zip
    assert [call.headers.get("range") for call in hub.storage.calls] == [None, "bytes=300000-"]
    assert [call.status for call in hub.storage.calls] == [200, 206]
    assert hub.storage.tokens_seen == []


def test_other_bytes_than_github_stated_are_never_kept(shop: HubRepository, make: Make, tmp_path: Path) -> None:
    stored = shop.run(RUN).artifact("shop", FILES)
    source = make()
    run = source.run(RUN)
    stored.corrupt(ci.zipped({**FILES, "version": b"evil\n"}))
    with pytest.raises(IntegrityError) as caught:
        obtain(tmp_path, source, run)
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert not custody(tmp_path).holds(Digest(stored.digest.removeprefix("sha256:") if stored.digest else ""))


def test_an_artifact_that_expired_behind_the_judgement_is_told_so(shop: HubRepository, make: Make) -> None:
    stored = shop.run(RUN).artifact("shop", FILES)
    source = make()
    run = source.run(RUN)
    stored.expire()
    with pytest.raises(PolicyDenied) as caught:
        read(source, run)
    assert caught.value.reason is Reason.ARTIFACT_EXPIRED


def test_an_artifact_that_was_deleted_is_missing_by_its_name(shop: HubRepository, make: Make) -> None:
    stored = shop.run(RUN).artifact("shop", FILES)
    source = make()
    run = source.run(RUN)
    stored.delete()
    with pytest.raises(PolicyDenied, match="'shop'") as caught:
        read(source, run)
    assert caught.value.reason is Reason.ARTIFACT_MISSING


def test_what_is_in_custody_is_deployed_although_it_expired(shop: HubRepository, make: Make, tmp_path: Path) -> None:
    stored = shop.run(RUN).artifact("shop", FILES)
    source = make()
    obtain(tmp_path, source, source.run(RUN))
    stored.expire()
    run = source.run(RUN)
    held = custody(tmp_path).holds(Digest(stored.sha256))
    assert judge_run(run, declaration(stored.sha256), rules(shop), Bounds(), in_custody=held).expired
    assert obtain(tmp_path, source, run) == stored.zip


def test_a_storage_that_nobody_allowed_is_not_asked(hub: Hub, shop: HubRepository, make: Make) -> None:
    shop.run(RUN).artifact("shop", FILES)
    source = make({"storage_hosts": ["storage.example"]})
    with pytest.raises(Transient, match="not allowed") as caught:
        read(source, source.run(RUN))
    assert "storage_hosts" in caught.value.hint
    assert hub.storage.calls == []


def test_a_link_that_is_over_is_asked_for_anew(hub: Hub, shop: HubRepository, make: Make) -> None:
    stored = shop.run(RUN).artifact("shop", FILES)
    source = make()
    run = source.run(RUN)
    hub.storage.fail(403)
    with pytest.raises(Transient) as caught:
        read(source, run)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert "sig=" not in caught.value.message + caught.value.hint
    assert read(source, run) == stored.zip


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_a_fault_while_a_download_is_asked_for_decides_nothing(
    status: int, hub: Hub, shop: HubRepository, make: Make
) -> None:
    shop.run(RUN).artifact("shop", FILES)
    source = make()
    run = source.run(RUN)
    hub.fail(status, times=2, path="/zip")
    with pytest.raises(Transient) as caught:
        read(source, run)
    assert caught.value.reason is Reason.SOURCE_UNAVAILABLE
    assert hub.storage.calls == []


# --- what it costs ------------------------------------------------------------------------------


def test_a_judgement_costs_three_requests_and_asked_again_nothing_of_the_rate_limit(
    hub: Hub, shop: HubRepository, make: Make
) -> None:
    shop.run(RUN).artifact("shop", FILES)
    source = make()
    hub.forget()
    first = source.run(RUN)
    assert [call.status for call in hub.log] == [200, 200, 200]
    # The branch in full, so that no tag is meant; of a comparison nothing but its status is of interest.
    assert hub.log[-1].path.endswith(f"/compare/refs%2Fheads%2Fmain...{shop.tip()}?per_page=1")
    hub.forget()
    assert source.run(RUN) == first
    assert [call.status for call in hub.log] == [304, 304, 304]


def test_a_hundred_artifacts_more_cost_one_request_more(hub: Hub, shop: HubRepository, make: Make) -> None:
    run = shop.run(RUN)
    for number in range(101):
        run.artifact(f"part-{number}", {"x": "y"})
    hub.forget()
    make().run(RUN)
    assert hub.requests == 4


def test_a_download_costs_one_request_and_one_to_the_storage(hub: Hub, shop: HubRepository, make: Make) -> None:
    shop.run(RUN).artifact("shop", FILES)
    source = make()
    run = source.run(RUN)
    hub.forget()
    read(source, run)
    assert (hub.requests, len(hub.storage.calls)) == (1, 1)


def test_nothing_is_asked_before_a_run_is(hub: Hub, shop: HubRepository, make: Make) -> None:
    hub.forget()
    make()
    assert hub.requests == 0


# --- the operator's side ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"storage_hosts": ["https://storage.example/x"]},
        {"storage_hosts": ["user@storage.example"]},
        {"storage_hosts": ["*.example"]},
        {"storage_hosts": ["*"]},
        {"storage_hosts": [""]},
        {"repository": "shop"},
        {"token_env": None},
        {"url": "http://github.example/api/v3"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_options_that_can_not_be_meant_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    usual = {"repository": "acme/shop", "token_env": TOKEN}
    with pytest.raises(ValidationError):
        github_actions.create({**usual, **options}, parts(tmp_path))


def test_it_is_found_by_its_type() -> None:
    (found,) = entry_points(group="reconciler.sources", name="github-actions")
    assert found.load() is github_actions.create


# --- promotion from a clone -----------------------------------------------------------------------


@pytest.fixture
def settings(shop: HubRepository, github: GitHub, make: Make, tmp_path: Path) -> Settings:  # noqa: F811
    make()  # for the token
    source = {
        "type": "github-actions",
        "repository": "acme/shop",
        "url": github.url,
        "token_env": TOKEN,
        "provenance": {"repositories": [str(shop.id)], "workflows": [BUILD]},
    }
    return Settings.model_validate({"state": str(tmp_path / "state"), "sources": {"ci": source}})


PROD = File("environments/prod.yaml", b"", declaration("0" * 64))


def test_promote_takes_the_digest_as_github_states_it_and_downloads_nothing(
    hub: Hub, shop: HubRepository, settings: Settings
) -> None:
    stored = shop.run(RUN).artifact("shop", FILES)
    found = evidence.of_run(settings, PROD, RUN)
    assert found.pin == Pin(RUN, Digest(stored.sha256))
    assert f"CI repository: acme/shop (id {shop.id})" in found.evidence
    assert "Digest: as CI states it" in found.evidence
    assert hub.storage.calls == []


def test_promote_names_no_run_whose_artifact_has_expired(shop: HubRepository, settings: Settings) -> None:
    shop.run(RUN).artifact("shop", FILES).expire()
    with pytest.raises(PolicyDenied) as caught:
        evidence.of_run(settings, PROD, RUN)
    assert caught.value.reason is Reason.ARTIFACT_EXPIRED


def test_what_an_environment_runs_is_promoted_from_there_although_it_expired(
    shop: HubRepository, engineer: Account, settings: Settings, tmp_path: Path
) -> None:
    stored = shop.run(RUN).artifact("shop", FILES)
    stored.expire()
    staging = f"version: 1\nartifact: {{name: shop, run_id: {RUN}, sha256: {stored.sha256}}}\n{TARGET}"
    shop.push(engineer, "main", {"environments/staging.yaml": staging}, "Declare staging")
    subprocess.run(["git", "clone", "-q", shop.git_url, tmp_path / "clone"], check=True)
    tip = proposal.look(tmp_path / "clone", "origin", "main", Bounds())
    found = evidence.of_environment(settings, tip, PROD, "staging")
    assert found.pin == Pin(RUN, Digest(stored.sha256))


# --- from the example of a workflow to a release --------------------------------------------------


def steps() -> dict[str, dict[str, Any]]:
    (job,) = yaml.safe_load(EXAMPLE.read_text())["jobs"].values()
    return {step["name"]: step for step in job["steps"] if "name" in step}


def perform(name: str, folder: Path, **variables: str) -> None:
    """Run a step's script as GitHub's runners do."""
    environment = {"PATH": os.environ["PATH"], **variables}
    subprocess.run(["bash", "-e", "-c", steps()[name]["run"]], cwd=folder, env=environment, check=True)


def stored_by(action: dict[str, Any], folder: Path) -> bytes:
    """The zip that upload-artifact makes of its path: written as a stream, all modes lost."""
    buffer = Unseekable()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        info = zipfile.ZipInfo(action["path"], (2026, 3, 1, 12, 0, 0))
        info.external_attr = 0o100644 << 16
        archive.writestr(info, (folder / action["path"]).read_bytes())
    return bytes(buffer.data)


class Unseekable(io.RawIOBase):
    """What can only be written to."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += data
        return len(data)


def test_what_the_example_packs_goes_live_with_its_executable_bits(
    shop: HubRepository, make: Make, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    for name, content in FILES.items():
        (work / "dist" / name).parent.mkdir(parents=True, exist_ok=True)
        (work / "dist" / name).write_bytes(content)
    (work / "dist" / "bin/shop").chmod(0o755)
    perform("Pack", work)
    upload = steps()["Upload"]["with"]
    stored = shop.run(RUN).artifact(upload["name"], stored_by(upload, work))
    source = make()
    run = source.run(RUN)
    artifact = judge_run(run, declaration(stored.sha256, upload["name"]), rules(shop), Bounds())
    ground = Ground(tmp_path)
    with custody(tmp_path).obtain(Digest(stored.sha256), lambda offset: source.open(run, artifact, offset)) as held:
        ground.target(unpack="inner").apply(held, factories.approval(stored.zip, run_id=RUN), 1)
    assert tree(ground.current) == {"bin": None, **FILES}
    assert stat.S_IMODE((ground.current / "bin/shop").stat().st_mode) == 0o755
    assert stat.S_IMODE((ground.current / "version").stat().st_mode) == 0o644


def test_the_two_lines_that_the_example_prints_are_those_of_an_environment_file(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    perform("Say what to promote", tmp_path, RUN_ID=str(RUN), SHA256="5" * 64, GITHUB_STEP_SUMMARY=str(summary))
    (two,) = re.findall(r"```yaml\n(.*?)\n```", summary.read_text(), re.DOTALL)
    lines = "".join(f"  {line}\n" for line in two.split("\n"))
    found = declare.read("prod.yaml", f"version: 1\nartifact:\n  name: shop\n{lines}{TARGET}".encode())
    assert found.problems == ()
    assert found.declaration
    assert (found.declaration.run_id, found.declaration.sha256) == (RUN, "5" * 64)


def test_the_example_prints_what_github_knows_and_holds_no_credential() -> None:
    said, text = steps()["Say what to promote"]["env"], EXAMPLE.read_text()
    assert said == {"RUN_ID": "${{ github.run_id }}", "SHA256": "${{ steps.upload.outputs.artifact-digest }}"}
    assert steps()["Upload"]["id"] == "upload"
    assert steps()["Upload"]["uses"] == "actions/upload-artifact@v4"
    assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
    assert "secrets." not in text
