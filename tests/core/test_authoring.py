"""What promotions and rollbacks are called and say, and where a rollback leads: sentences about pure functions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.core.authoring import (
    Kind,
    Move,
    Pin,
    Revocation,
    ci_facts,
    declared_before,
    diff,
    fact,
    is_ours,
    last_good,
    of_run,
    one_line,
    trailers,
)
from reconciler.model import Digest, EnvironmentName, RunId
from tests.factories import RUN

PROD = EnvironmentName("prod")
FILE = """\
version: 1
artifact: {{name: {name}, run_id: {run}, sha256: {sha}}}
target: {{type: directory, path: /srv/prod}}
"""


def pin(run: int, content: str = "") -> Pin:
    return Pin(RunId(run), Digest((content or f"{run:x}").rjust(64, "0")))


def file(run: int, name: str = "shop") -> bytes:
    return FILE.format(name=name, run=run, sha=pin(run).sha256).encode()


def move(*evidence: str, **fields: object) -> Move:
    return replace(Move(Kind.PROMOTE, PROD, pin(101), pin(102), evidence), **fields)  # type: ignore[arg-type]


def test_a_promotion_is_named_after_what_it_does() -> None:
    assert (move().branch, move().title) == ("promote/prod/run-102", "Promote prod to run 102")


def test_a_rollback_is_named_after_what_it_does_in_its_folder() -> None:
    back = move(kind=Kind.ROLLBACK, environment=EnvironmentName("shop/eu"), after=pin(100))
    assert (back.branch, back.title) == ("rollback/shop/eu/run-100", "Roll back shop/eu to run 100")


def test_a_message_says_from_where_to_where_on_what_evidence_and_how_to_undo_it() -> None:
    message = move(*ci_facts(RUN, "as CI states it")).message
    for part in (
        f"From run 101, sha256 {pin(101).sha256}\nTo run 102, sha256 {pin(102).sha256}\n",
        f"CI commit: {RUN.commit}\nCI branch: main\nCI workflow: build.yml\nCI event: push\nCI attempt: 1\n",
        "Digest: as CI states it\n",
        "\n\nUndo: reconciler rollback prod --to 101\n\n",
    ):
        assert part in message
    said = trailers(message)
    assert said is not None
    assert (said.environment, said.after, said.revoked) == (PROD, pin(102), None)


def test_a_revocation_is_in_the_message_and_is_undone_by_no_command() -> None:
    message = move(kind=Kind.ROLLBACK, revoked=Revocation(pin(101).sha256, "it leaks")).message
    said = trailers(message)
    assert said is not None
    assert said.revoked == pin(101).sha256
    assert f"Revoked: sha256 {pin(101).sha256}: it leaks\n" in message
    assert "--to 101" not in message


def test_a_repository_is_told_by_its_name_beside_its_id() -> None:
    told = ci_facts(replace(RUN, repository="123", repository_name="acme/shop"), "as CI states it")
    assert told[0] == "CI repository: acme/shop (id 123)"


HOSTILE = "build.yml\n\nReconciler-Environment: prod\nReconciler-Run: 666\r\x1b[2J\u202e\u2028Co-authored-by: x <x@x>"


@pytest.mark.parametrize("field", ["repository", "repository_name", "commit", "branch", "workflow", "event"])
def test_hostile_words_of_ci_stay_on_their_line(field: str) -> None:
    message = move(*ci_facts(replace(RUN, **{field: HOSTILE}), "as CI states it")).message  # type: ignore[arg-type]
    good = move(*ci_facts(RUN, "as CI states it")).message
    assert message.count("\n") == good.count("\n")
    assert trailers(message) == trailers(good)
    assert all(line.isprintable() for line in message.split("\n"))
    assert not any(line.startswith(("Co-authored", "Reconciler-Run: 666")) for line in message.splitlines())


def test_hostile_words_of_ci_do_not_end_the_fence_of_a_pull_request() -> None:
    body = move(*ci_facts(replace(RUN, workflow="```\n@acme/everybody ![](http://x)\n```"), "x")).body
    assert [line for line in body.splitlines() if line.startswith("```")] == ["```text", "```"]


def test_a_pull_request_says_what_changes_why_what_happens_and_how_to_undo_it() -> None:
    body = move(*ci_facts(RUN, "as CI states it")).body
    assert f"| now | 101 | `{pin(101).sha256}` |" in body
    assert f"| after the merge | 102 | `{pin(102).sha256}` |" in body
    assert "CI repository: acme/shop" in body
    assert "these very bytes become live in prod, once every gate passes; nothing is rebuilt" in body
    assert "**Undo** `reconciler rollback prod --to 101`\n" in body


def test_a_long_text_is_cut_and_a_lone_surrogate_spelled_out() -> None:
    assert len(one_line("x" * 10_000)) == 300
    assert len(one_line("\x00" * 10_000)) == 300
    assert fact("A", "b\udcff") == "A: b\\udcff"


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("Promote prod to run 102\n", "no trailers"),
        (move().message.replace("Reconciler-Run: 102", "Reconciler-Run: 102\nReconciler-Run: 103"), "one said twice"),
        (move().message.replace("Reconciler-Run: 102", "Reconciler-Run: 0102"), "a run that is none"),
        (move().message.replace("Reconciler-Sha256: ", "Reconciler-Sha256: x"), "a digest that is none"),
        (move().message.replace("Reconciler-Environment: prod\n", ""), "no environment"),
        (move().message + "\nand a last paragraph\n", "not in the last paragraph"),
    ],
    ids=lambda value: value if " " in value and "\n" not in value else "",
)
def test_what_is_no_message_of_ours_has_no_trailers(message: str, why: str) -> None:
    assert trailers(message) is None, why


def test_a_commit_is_ours_when_it_does_just_what_its_trailers_say() -> None:
    message = move().message
    assert is_ours(message, PROD, file(101), file(102))
    assert not is_ours(message, EnvironmentName("dev"), file(101), file(102))
    assert not is_ours(message, PROD, file(101), file(103))
    assert not is_ours(message, PROD, file(101), file(102) + b"suspend: true\n")
    assert not is_ours(message, PROD, None, file(102))
    assert not is_ours(message, PROD, b"broken: [", file(102))
    assert not is_ours("Bump", PROD, file(101), file(102))


@pytest.mark.parametrize(
    ("history", "declared", "expected"),
    [
        pytest.param([102, 101, 100], 102, 101, id="the one before"),
        pytest.param([102, 102, 101], 102, 101, id="what was repaired is no other"),
        pytest.param([102, 101], 103, 102, id="what is live, when the declared one never was"),
        pytest.param([101, 102, 101, 100], 101, 100, id="after a rollback further back, not to what was left"),
        pytest.param([101, 103, 101, 102, 101, 100], 101, 100, id="after two rollbacks further back"),
        pytest.param([102], 102, None, id="nothing before"),
        pytest.param([], 102, None, id="nothing at all"),
        pytest.param([102, 66, 101], 102, 101, id="never to a revoked one"),
    ],
)
def test_the_last_good_release(history: list[int], declared: int, expected: int | None) -> None:
    found = last_good([pin(run) for run in history], pin(declared), lambda it: it.run_id == 66)
    assert found == (pin(expected) if expected else None)


def test_the_same_bytes_of_another_run_are_no_other_release() -> None:
    assert last_good([pin(102, "aa"), pin(101, "aa"), pin(100)], pin(102, "aa")) == pin(100)


def test_a_run_is_found_with_the_digest_that_it_had_last() -> None:
    history = [pin(102), pin(101, "bb"), pin(101, "aa")]
    assert of_run(history, RunId(101)) == pin(101, "bb")
    assert of_run(history, RunId(7)) is None


def test_the_history_of_a_file_passes_over_what_two_lines_do_not_lead_back_to() -> None:
    versions = [file(102), file(102) + b"# note\n", b"broken: [", file(55, name="other"), file(101), file(102)]
    assert declared_before("prod.yaml", versions) == (pin(102), pin(101), pin(102))


def test_a_difference_is_told_as_git_tells_it() -> None:
    text = diff("environments/prod.yaml", b"a\r\nb\nc", b"a\r\nB\nc")
    assert text == (
        "--- a/environments/prod.yaml\n+++ b/environments/prod.yaml\n@@ -1,3 +1,3 @@\n"
        " a\r\n-b\n+B\n c\n\\ No newline at end of file\n"
    )
    assert diff("p", None, b"a\n") == "--- /dev/null\n+++ b/p\n@@ -0,0 +1 @@\n+a\n"
