"""What a folder of declarations says as a whole: who waits for whom, and its policy."""

from __future__ import annotations

import pytest

from reconciler.core.folder import policy_entry, waiting_problems
from reconciler.core.policyfile import NO_POLICY
from reconciler.core.yamltree import MAX_BYTES
from reconciler.model import BlobId, EnvironmentName, TreeEntry
from tests.factories import sha256

BLOB = BlobId("b")


def problems(graph: dict[str, list[str]]) -> dict[str, str]:
    names = {EnvironmentName(name) for name in graph}
    return {str(name): text for name, text in waiting_problems(names, graph).items()}


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        pytest.param({"dev": [], "staging": ["dev"], "prod": ["staging", "dev"]}, {}, id="in a row"),
        pytest.param({"prod": ["qa"]}, {"prod": "promote.after names qa, which no file declares"}, id="an unknown one"),
        pytest.param({"prod": ["a", "prod", "b", "c"]},
                     {"prod": "promote.after names a, b and c, which no file declares, and the environment itself"},
                     id="unknown ones and itself"),
        pytest.param({"prod": ["prod"]}, {"prod": "promote.after names the environment itself"}, id="itself"),
        pytest.param({"prod": ["staging"], "staging": ["prod"]},
                     {"prod": "promote.after goes in a circle: prod → staging → prod",
                      "staging": "promote.after goes in a circle: staging → prod → staging"}, id="each other"),
        pytest.param({"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": []},
                     {"a": "promote.after goes in a circle: a → b → c → a",
                      "b": "promote.after goes in a circle: b → c → a → b",
                      "c": "promote.after goes in a circle: c → a → b → c"}, id="a circle with a way out"),
        pytest.param({"in": ["a"], "a": ["b"], "b": ["a", "way"], "way": ["c"], "c": ["d"], "d": ["c"]},
                     {"a": "promote.after goes in a circle: a → b → a",
                      "b": "promote.after goes in a circle: b → a → b",
                      "c": "promote.after goes in a circle: c → d → c",
                      "d": "promote.after goes in a circle: d → c → d"},
                     id="not what leads into a circle or from one to another"),
    ],
)  # fmt: skip
def test_who_waits_for_what_can_never_come_is_told_so(graph: dict[str, list[str]], told: dict[str, str]) -> None:
    assert problems(graph) == told


def test_ten_thousand_in_one_circle_are_told_in_few_words_and_without_recursion() -> None:
    count = 10_000
    found = problems({f"e{n}": [f"e{(n + 1) % count}"] for n in range(count)} | {"into": ["e5"]})
    assert len(found) == count
    assert set(found.values()) == {"promote.after goes in a circle of 10000 environments"}


def test_a_commit_without_a_policy_asks_for_nothing() -> None:
    assert policy_entry(None, {}) is NO_POLICY
    assert NO_POLICY.digest == sha256(b"")
    assert NO_POLICY.document is not None
    assert NO_POLICY.document.bars == ()


def test_a_policy_is_read_from_its_bytes() -> None:
    data = b"version: 1\napproval: [{required: 2}]\n"
    found = policy_entry(TreeEntry("100644", BLOB), {BLOB: data})
    assert (found.file, found.digest, found.problems) == ("environments/policy.yaml", sha256(data), ())


@pytest.mark.parametrize(
    ("mode", "data", "problem"),
    [
        pytest.param("120000", b"x", "found a symbolic link; wanted a regular file", id="a link"),
        pytest.param("160000", b"x", "found a submodule; wanted a regular file", id="a submodule"),
        pytest.param("100644", None, f"found more than {MAX_BYTES} bytes", id="a large file"),
        pytest.param("100644", b"", "found an empty file", id="an empty file"),
    ],
)
def test_a_policy_that_is_no_small_file_of_yaml_is_none(mode: str, data: bytes | None, problem: str) -> None:
    policy = policy_entry(TreeEntry(mode, BLOB), {BLOB: data})
    assert policy.document is None
    assert str(policy.problems[0]).startswith(f"environments/policy.yaml:1:1: {problem}")
