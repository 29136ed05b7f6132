"""The strict reader: what it takes, and how it tells everything else."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from reconciler.core.declare import Declaration, environment_name, json_schema, read, with_artifact
from reconciler.core.yamltree import MAX_BYTES, Malformed
from reconciler.model import Digest, RunId

SHA = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
GOOD = f"""\
# what staging runs
version: 1
artifact:
  name: shop
  run_id: 17243512345   # the build
  sha256: {SHA}
target:
  type: directory
  path: /srv/shop/staging
"""


def problems(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    reading = read("environments/staging.yaml", data)
    assert (reading.declaration is None) == bool(reading.problems)
    return [str(problem) for problem in reading.problems]


def declared(text: str) -> Declaration:
    reading = read("environments/staging.yaml", text.encode())
    assert reading.declaration is not None, reading.problems
    return reading.declaration


def edited(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_minimal_file_gets_one_approval_and_five_releases() -> None:
    declaration = declared(GOOD)
    assert (declaration.run_id, declaration.sha256) == (17243512345, SHA)
    assert declaration.approval != "none"
    assert (declaration.approval.required, declaration.approval.from_, declaration.approval.allow_self) == (
        1,
        None,
        False,
    )
    assert declaration.target.keep == 5
    assert not declaration.suspend


def test_approval_may_be_the_word_none() -> None:
    assert declared(GOOD + "approval: none\n").approval == "none"


def test_an_all_digit_sha256_is_text_without_quotes() -> None:
    digits = "0123456789" * 6 + "0123"
    assert declared(edited(SHA, digits)).sha256 == digits


@pytest.mark.parametrize(
    "value",
    [
        "012",
        "1_2",
        "1e9",
        "0x1F",
        "0b11",
        "12:34:56",
        "1.0",
        "2026-01-01",
        "true",
        "yes",
        "null",
        "~",
        "",
        "'12'",
        '"12"',
        "0",
        "-3",
        "+5",
        "9223372036854775808",
        "1 2",
        ".inf",
        "[1]",
        "{a: 1}",
    ],
)
def test_run_id_is_a_plain_decimal_from_one_and_nothing_else(value: str) -> None:
    (problem,) = problems(edited("17243512345", value))
    assert re.match(r"environments/staging.yaml:5:1[01]: artifact.run_id: found ", problem)
    assert "plain decimal" in problem


@pytest.mark.parametrize(
    "value",
    [SHA[:-1], SHA + "0", SHA.upper(), "sha256:" + SHA, f'"{SHA} "', f'"{SHA}\\n"', "g" + SHA[1:], "", "[a]"],
    ids=["63 digits", "65 digits", "upper case", "prefixed", "padded", "newline behind", "not hex", "empty", "a list"],
)
def test_sha256_is_64_lower_case_hex_digits_and_nothing_else(value: str) -> None:
    (problem,) = problems(edited(SHA, value))
    assert re.match(r"environments/staging.yaml:6:1[01]: artifact.sha256: found ", problem)
    assert "64 lower-case hex digits" in problem


@pytest.mark.parametrize(
    ("text", "place", "found"),
    [
        (GOOD + "version: 1\n", "10:1", "the key a second time (first in line 2)"),
        (GOOD + '"version": 1\n', "10:1", "the key a second time"),
        (GOOD + '"v\\x65rsion": 1\n', "10:1", "the key a second time"),
        (edited("name: shop", "name: &a shop"), "4:9", "the anchor &a"),
        (GOOD + "approval: *a\n", "10:11", "the alias *a"),
        (GOOD + "<<: {suspend: true}\n", "10:1", "the merge key <<"),
        (edited("name: shop", "name: !!str shop"), "4:9", "the tag tag:yaml.org,2002:str"),
        (edited("name: shop", "name: !!python/object/apply:os.system [id]"), "4:9", "the tag"),
        (GOOD + "---\nversion: 1\n", "10:1", "a second document"),
        ("? [a, b]\n: c\n", "1:3", "a key that is not plain text"),
        ("- version\n", "1:1", "a list"),
        ("just text\n", "1:1", "the text 'just text'"),
        ("", "1:1", "an empty file"),
        ("version: [\n", "2:1", "found broken YAML: did not find expected node content"),
        ('version: "\n', "2:1", "found broken YAML: unexpected end of stream"),
    ],
    ids=[
        "duplicate key",
        "quoted duplicate",
        "escaped duplicate",
        "anchor",
        "alias",
        "merge key",
        "tag",
        "python tag",
        "two documents",
        "list as key",
        "list root",
        "scalar root",
        "empty file",
        "broken",
        "cut",
    ],
)
def test_what_yaml_allows_and_this_does_not(text: str, place: str, found: str) -> None:
    first = problems(text)[0]
    assert first.startswith(f"environments/staging.yaml:{place}: ")
    assert found in first


def test_recursion_through_an_alias_is_refused() -> None:
    assert any("the alias *a" in problem for problem in problems("a: &a [*a]\n"))


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (GOOD.encode("utf-16"), "byte 0xff"),
        (b"\xef\xbb\xbf" + GOOD.encode(), "character U+FEFF"),
        (GOOD.replace("shop", "sh\u00f6p").encode("latin-1"), "byte 0xf6"),
        (GOOD.encode() + b"\x00", "character U+0000"),
        (GOOD.replace("# what", "#\u2028what").encode(), "character U+2028"),
        (GOOD.encode() + b"\x1b[2J", "character U+001B"),
    ],
    ids=["UTF-16", "BOM", "Latin-1", "NUL", "a line break that editors hide", "terminal escape"],
)
def test_only_plain_utf8_is_read(data: bytes, found: str) -> None:
    (problem,) = problems(data)
    assert found in problem
    assert "UTF-8" in problem


def test_size_is_bounded_before_anything_is_parsed() -> None:
    assert problems(b"#" * MAX_BYTES + b"\n")[0].endswith(
        f"found {MAX_BYTES + 1} bytes; wanted at most {MAX_BYTES} bytes"
    )


@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "? "])
def test_depth_is_bounded_while_parsing(opener: str) -> None:
    assert "nesting deeper than 20" in problems((opener * 50_000)[:MAX_BYTES].encode())[-1]


def test_a_file_made_of_problems_tells_the_first_fifty() -> None:
    assert len(problems("a: 1\n" * 2_000)) == 50


def test_every_problem_of_a_file_is_told_at_once_with_its_place() -> None:
    text = GOOD.replace("version: 1", "version: 2").replace("name: shop", "nmae: shop").replace("/srv/shop", "srv/../x")
    assert [problem.split(": found")[0] for problem in problems(text)] == [
        "environments/staging.yaml:2:10: version",
        "environments/staging.yaml:3:1: artifact.name",
        "environments/staging.yaml:4:3: artifact",
        "environments/staging.yaml:9:9: target.path",
    ]
    assert "did you mean name?" in problems(text)[2]


@pytest.mark.parametrize(
    "path", ["/", "srv/x", "/srv/../x", "/srv/./x", "/srv//x", "/srv/x/", "/srv/-x", '"/srv/\\tx"', "''"]
)
def test_target_path_is_a_normal_absolute_path(path: str) -> None:
    (problem,) = problems(edited("/srv/shop/staging", path))
    assert "target.path" in problem


@pytest.mark.parametrize(
    "line",
    [
        "approval: {required: 0}",
        "approval: {required: 21}",
        "approval: {from: []}",
        "approval: {from: }",
        "approval:",
        "approval: {required: true}",
        "approval: None",
        "approval: {}x",
        "suspend: on",
        "suspend: 1",
    ],
)
def test_rules_that_say_nothing_or_too_much_are_refused(line: str) -> None:
    assert problems(GOOD + line + "\n")


def test_a_key_at_the_wrong_place_is_an_unknown_one() -> None:
    (problem,) = problems(edited("name: shop", "name: shop\n  health: {}"))
    assert "artifact: found the unknown key 'health'" in problem


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("17243512345", "0x1F", "(YAML reads this as an integer; write it as a plain decimal number)"),
        ("name: shop", "name: 012", "(YAML reads this as an integer; put it in quotes)"),
        ("name: shop", "name: 2026-01-01", "(YAML reads this as a date; put it in quotes)"),
        ("name: shop", "name: 12", "(put it in quotes)"),
        ("version: 1", "version: 1\nsuspend: on", "(YAML reads this as a boolean; write true or false)"),
    ],
    ids=["a number", "digits", "a date", "a plain number", "a switch"],
)
def test_a_scalar_with_two_readings_comes_with_how_to_write_it(old: str, new: str, hint: str) -> None:
    (problem,) = problems(edited(old, new))
    assert problem.endswith(hint)


@pytest.mark.parametrize("version", ["true", "2", "0", "1.0", "'1'"])
def test_only_version_one_is_read(version: str) -> None:
    assert "version: found" in problems(edited("version: 1", f"version: {version}"))[0]


def test_the_two_lines_change_and_nothing_else() -> None:
    other = "0" * 64
    changed = with_artifact("staging.yaml", GOOD.encode(), RunId(7), Digest(other)).decode()
    assert changed == GOOD.replace("17243512345", "7").replace(SHA, other)


def test_the_two_lines_change_in_a_quoted_or_flow_style_too() -> None:
    text = f'version: 1\nartifact: {{name: shöp, run_id: 5, sha256: "{SHA}"}}\n'.replace("ö", "o")
    text += "# ümläut before nothing\ntarget: {type: directory, path: /srv/x}\n"
    changed = with_artifact("x.yaml", text.encode(), RunId(66), Digest("a" * 64)).decode()
    assert changed == text.replace("run_id: 5", "run_id: 66").replace(f'"{SHA}"', "a" * 64)


def test_a_broken_file_is_not_edited() -> None:
    with pytest.raises(Malformed):
        with_artifact("x.yaml", b"version: 3\n", RunId(1), Digest(SHA))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("staging.yaml", "staging"),
        ("shop/prod-eu1.yaml", "shop/prod-eu1"),
        ("policy.yaml", None),
        ("README.md", None),
        ("environment.schema.json", None),
    ],
)
def test_a_path_names_its_environment(path: str, name: str | None) -> None:
    assert environment_name(path) == name


@pytest.mark.parametrize(
    "path", ["Prod.yaml", "-x.yaml", "a_b.yaml", "a/.yaml", "prod.yml", "x" * 201 + ".yaml", "a\n.yaml", "é.yaml"]
)
def test_a_file_whose_name_can_not_be_an_environment_is_a_problem(path: str) -> None:
    with pytest.raises(Malformed):
        environment_name(path)


def test_the_committed_schema_is_current() -> None:
    committed = Path(__file__).parents[2] / "environments" / "environment.schema.json"
    assert json.loads(committed.read_text()) == json_schema()


# --- promote, and what decides what runs --------------------------------------------------------


def test_a_promotion_names_where_the_same_artifact_must_have_run() -> None:
    assert declared(GOOD).promote is None
    promote = declared(GOOD + "promote: {after: [dev, shop/qa], soak: 1h30m}\n").promote
    assert promote is not None
    assert (promote.after, promote.soak_seconds) == (("dev", "shop/qa"), 5_400)
    promote = declared(GOOD + "promote: {after: [dev]}\n").promote
    assert promote is not None
    assert promote.soak_seconds == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("promote:", "10:9: promote: found an empty value; wanted a mapping: where the same artifact must be live"),
        ("promote: {}", "10:1: promote.after: found nothing; wanted a list of 1 to 20 environments, each once, where"),
        ("promote: {after: dev}", "10:18: promote.after: found the text 'dev'; wanted a list of 1 to 20 environments"),
        ("promote: {after: dev}", "(write [dev])"),
        (
            "promote: {after: [dev, Dev, dev, 'Q A']}",
            "found the name 'Dev', the name 'Q A', dev more than once; wanted",
        ),
        (
            "promote: {after: [dev], soak: 30}",
            "10:31: promote.soak: found 30; wanted for how long it must have been so",
        ),
        ("promote: {after: [dev], soak: 30}", "2d or 1h30m (add a unit: 30s)"),
        ("promote: {after: [dev], soak: '1.5'}", "10:31: promote.soak: found the text '1.5'; wanted for how long it"),
        ("promote: {after: [dev], soak: '1.5'}", "(add a unit: 1.5s)"),
        ("promote: {after: []}", "10:18: promote.after: found an empty list; wanted a list of 1 to 20 environments"),
        ("promote: {after: [Dev]}", "10:18: promote.after: found the name 'Dev'; wanted the name of an environment, "),
        ("promote: {after: [12]}", "10:19: promote.after[0]: found 12; wanted a list of 1 to 20 environments"),
        ("promote: {after: [dev, qa, dev]}", "10:18: promote.after: found dev more than once; wanted each environment"),
        (
            f"promote: {{after: {[f'e{n}' for n in range(21)]}}}",
            "10:18: promote.after: found a list of 21 entries; want",
        ),
        ("promote: {after: [dev], soak: 30min}", "10:31: promote.soak: found the text '30min'; wanted for how long"),
        ("promote: {after: [dev], soak: -1s}", "10:31: promote.soak: found the text '-1s'; wanted for how long"),
        ("promote: {after: [dev], soak: 366d}", "10:31: promote.soak: found the text '366d'; wanted for how long"),
        (
            "promote: {after: [dev], soka: 1h}",
            "10:25: promote: found the unknown key 'soka'; wanted one of after, soak",
        ),
    ],
)
def test_a_promotion_that_can_not_be_meant_is_refused(line: str, told: str) -> None:
    (problem,) = problems(GOOD + line + "\n")
    assert problem.startswith(f"environments/staging.yaml:{told}") if told.startswith("10:") else told in problem


def test_the_leaves_of_a_declaration_are_told_by_dotted_path() -> None:
    leaves = declared(GOOD + "promote: {after: [dev], soak: 1h}\napproval: {from: [a, b]}\n").leaves()
    assert leaves["artifact.run_id"] == 17243512345
    assert (leaves["promote.after"], leaves["promote.soak"], leaves["approval.from"]) == (("dev",), "1h", ("a", "b"))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        pytest.param(edited("17243512345", "5"), True, id="another run"),
        pytest.param(edited(SHA, "0" * 64), True, id="other bytes, which are compared for themselves"),
        pytest.param(edited("name: shop", "name: shop\n  source: ci"), True, id="where it came from"),
        pytest.param(GOOD + "approval: none\n", True, id="who lets it in"),
        pytest.param(GOOD + "promote: {after: [dev]}\n", True, id="where it must have run"),
        pytest.param(GOOD + "suspend: true\n", True, id="left alone"),
        pytest.param(GOOD + "rollback: hold\n", True, id="what follows a failure"),
        pytest.param(GOOD + "drift: report\n", True, id="what follows drift"),
        pytest.param(GOOD + "config: {}\nsecrets: {}\n", True, id="no config, written out"),
        pytest.param(GOOD + "activate: {command: [./run]}\n", False, id="a way to start it"),
        pytest.param(GOOD + "health: {tcp: 'localhost:1'}\n", False, id="what shows that it is healthy"),
        pytest.param(GOOD + "activate: {command: [./run]}\nconfig: {A: b}\n", False, id="config"),
        pytest.param(edited("/srv/shop/staging", "/srv/x"), False, id="another place"),
        pytest.param(edited("name: shop", "name: other"), False, id="another artifact"),
        pytest.param(edited("name: shop", "name: shop\n  unpack: inner"), False, id="another way to unpack"),
    ],
)
def test_what_runs_is_decided_by_all_but_how_it_came_there(text: str, same: bool) -> None:
    assert (declared(text).runtime == declared(GOOD).runtime) == same


def test_a_reading_and_a_declaration_answer_as_those_of_a_policy_do() -> None:
    reading = read("x.yaml", GOOD.encode())
    declaration = declared(GOOD)
    assert reading.document == declaration
    assert (declaration.bars, declaration.place) == ((declaration.approval,), "/srv/shop/staging")


def test_a_file_of_an_earlier_version_still_decides_the_same() -> None:
    """The digest is remembered beside soaks: a field that is new and left out must not change it."""
    said = b'{"artifact.name":"shop","artifact.unpack":"outer","target.keep":5,"target.path":"/srv/shop/staging",'
    assert declared(GOOD).runtime == hashlib.sha256(said + b'"target.type":"directory"}').hexdigest()
