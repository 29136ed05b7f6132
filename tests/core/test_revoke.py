"""One more revocation in a policy file: everything else stays, in whatever layout it is written."""

from __future__ import annotations

import pytest

from reconciler.core.policyfile import RevokedSpec, read_policy
from reconciler.core.revoke import with_revocation
from reconciler.core.yamltree import MAX_BYTES, Malformed

SHA, OTHER = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8", "1" * 64
BAD = RevokedSpec(sha256=SHA, run_id=None, reason='logs "secrets" \\ in clear: très #1')
RUN = RevokedSpec(sha256=None, run_id=17, reason="built on a tainted runner")
LINE = f'sha256: {SHA}\n%s  reason: "logs \\"secrets\\" \\\\ in clear: très #1"\n'
FLOW = f'{{sha256: {SHA}, reason: "logs \\"secrets\\" \\\\ in clear: très #1"}}'


def block(margin: str) -> str:
    return f"{margin}- " + LINE % margin


LAYOUTS: dict[str, tuple[str, str]] = {
    "no revocations yet": ("# rules\nversion: 1   # of the format\n", "^revoked:\n" + block("  ")),
    "no newline at the end": ("version: 1", "^\nrevoked:\n" + block("  ")),
    "comments at the end": ("version: 1\n# the end\n\n", "^revoked:\n" + block("  ")),
    "an indented document": ("  version: 1\n", "^  revoked:\n" + block("    ")),
    "a block list": (f"version: 1\nrevoked:\n  - sha256: {OTHER}  # first\n    reason: x   # why\n", "^" + block("  ")),
    "a block list with no indentation": ("version: 1\nrevoked:\n- run_id: 1\n  reason: x\n", "^" + block("")),
    "a block list without a newline at its end": ("version: 1\nrevoked:\n- run_id: 1\n  reason: x", "^\n" + block("")),
    "a block list before other keys": (
        "version: 1\nrevoked:\n  - {run_id: 1, reason: x}  # one\n^\n  # what follows\nfreeze: []\n", block("  ")
    ),
    "an entry in flow style over lines": (
        "version: 1\nrevoked:\n  - {run_id: 1,\n     reason: x\n    }  # one\n^freeze: []\n", block("  ")
    ),
    "keys on the line below the dash": ("version: 1\nrevoked:\n  -\n    run_id: 1\n    reason: x\n", "^" + block("  ")),
    "a reason over several lines": (
        "version: 1\nrevoked:\n  - run_id: 1\n    reason: >-\n      x\n      y\n\n^# end\n", block("  ")
    ),
    "a quoted reason over several lines": (
        'version: 1\nrevoked:\n  - run_id: 1\n    reason: "x\n      y"  # odd\n^freeze: []\n', block("  ")
    ),
    "an empty flow list": ("version: 1\nrevoked: [^]  # none\nfreeze: []\n", FLOW),
    "an empty flow list over lines": ("version: 1\nrevoked: [^ # none\n]\n", FLOW),
    "a flow list": ("version: 1\nrevoked: [{run_id: 1, reason: x}^]  # one\n", ", " + FLOW),
    "a flow list over lines with a comma at its end": (
        "version: 1\nrevoked: [\n  {run_id: 1, reason: x},\n  {run_id: 2, reason: y}^,\n]\n", ", " + FLOW
    ),
}  # fmt: skip
"""A file with ^ where something goes in, at its end when it has none; and what goes in."""


@pytest.mark.parametrize(("text", "added"), LAYOUTS.values(), ids=LAYOUTS.keys())
def test_the_entry_is_added_and_nothing_else_changes(text: str, added: str) -> None:
    before, _, after = text.partition("^")
    data = (before + after).encode()
    changed = with_revocation("policy.yaml", data, BAD)
    assert changed.decode() == before + added.removeprefix("^") + after
    document = read_policy("policy.yaml", changed).document
    assert document is not None
    assert document.revoked[-1] == BAD
    assert with_revocation("policy.yaml", changed, BAD) == changed


def test_line_ends_stay_those_of_the_file() -> None:
    text = "version: 1\r\nrevoked:\r\n- run_id: 1\r\n  reason: x\r\n"
    changed = with_revocation("policy.yaml", text.encode(), RUN).decode()
    assert changed == text + '- run_id: 17\r\n  reason: "built on a tainted runner"\r\n'


def test_without_a_policy_a_new_one_is_made() -> None:
    made = with_revocation("policy.yaml", None, RUN)
    assert made == b'version: 1\nrevoked:\n  - run_id: 17\n    reason: "built on a tainted runner"\n'
    assert with_revocation("policy.yaml", made, RUN) is made


def test_what_is_revoked_already_is_not_revoked_again_for_another_reason() -> None:
    data = b"version: 1\nrevoked: [{run_id: 17, reason: other}]\n"
    assert with_revocation("policy.yaml", data, RUN) is data


def test_a_digest_of_digits_alone_stays_text() -> None:
    entry = RevokedSpec(sha256=OTHER, run_id=None, reason="x")
    document = read_policy("policy.yaml", with_revocation("policy.yaml", None, entry)).document
    assert document is not None
    assert document.revoked == (entry,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("version: 2\n", "policy.yaml:1:10: version: found 2", id="a policy that can't be read"),
        pytest.param("{version: 1}\n", "policy.yaml:1:1: revoked: found a layout that can't be added to; wanted a list "
                     "with one entry a line (add this by hand: {run_id: 17, ", id="a document in flow style"),
        pytest.param("version: 1\n...\n", "policy.yaml:1:1: revoked: found a layout", id="a document that was ended"),
        pytest.param("version: 1\n" + "#" * (MAX_BYTES - 20) + "\n", "policy.yaml:1:1: found ", id="a full file"),
        pytest.param("version: 1\nrevoked:\n" + "".join(f"- {{run_id: {n}, reason: x}}\n" for n in range(100, 1100)),
                     "policy.yaml:3:1: revoked: found a list of 1001 entries", id="a thousand revocations"),
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_added_to_is_left_to_people(text: str, problem: str) -> None:
    with pytest.raises(Malformed) as refused:
        with_revocation("policy.yaml", text.encode(), RUN)
    assert str(refused.value).startswith(problem)
