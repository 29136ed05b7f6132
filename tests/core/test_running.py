"""How a release is run, as a file says it: each field, its good and bad values, and how a mistake is told."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.core.declare import Declaration, json_schema, read
from reconciler.core.running import ActivateSpec, HealthSpec, SecretSpec
from tests.core.test_declare import GOOD, declared, problems

RUN = "activate: {command: [./run]}\n"
AGE = """\
    age: |
      -----BEGIN AGE ENCRYPTED FILE-----
      YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBhYmM=
      -----END AGE ENCRYPTED FILE-----
"""


def activated(text: str) -> ActivateSpec:
    spec = declared(GOOD + f"activate: {text}\n").activate
    assert spec is not None
    return spec


def checked(text: str) -> HealthSpec:
    spec = declared(GOOD + f"health: {text}\n").health
    assert spec is not None
    return spec


def told(text: str) -> str:
    """The one problem of the text behind a good file, from the field on."""
    (problem,) = problems(GOOD + text + "\n")
    return problem.partition(": ")[2]


# --- what starts it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("{command: [./bin/restart, --now]}", "command", "command ./bin/restart --now"),
        ("{command: [bin/restart]}", "command", "command bin/restart"),
        ("{command: [/opt/tools/restart, '']}", "command", "command /opt/tools/restart "),
        ("{command: [restart, 'two words', -x]}", "command", "command restart two words -x"),
        ("{systemd: shop.service}", "systemd", "systemd unit shop.service"),
        ("{systemd: 'shop@prod-1.service', reload: true}", "systemd", "systemd unit shop@prod-1.service"),
        (r"{systemd: 'srv-shop\x2dprod.socket'}", "systemd", r"systemd unit srv-shop\x2dprod.socket"),
        ("{supervisor: shop}", "supervisor", "supervisor program shop"),
        ("{supervisor: 'shop:web-1'}", "supervisor", "supervisor program shop:web-1"),
        ("{supervisor: 'shop:*'}", "supervisor", "supervisor program shop:*"),
    ],
)
def test_a_release_is_started_by_one_of_three_ways(text: str, kind: str, words: str) -> None:
    spec = activated(text)
    assert (spec.kind, spec.words) == (kind, words)


def test_what_is_left_out_of_an_activation_is_the_careful_choice() -> None:
    spec = activated("{command: [./run]}")
    assert (spec.deliver, spec.within, spec.within_seconds, spec.reload) == ("file", "60s", 60.0, False)


PROGRAM = "wanted a list: a program's name, or its path without . and .. within it, then its arguments"
BAD_ACTIVATIONS = {
    "nothing": ("{}", "activate: found none of them; wanted exactly one of command, systemd, supervisor"),
    "two ways": (
        "{systemd: shop.service, command: [x]}",
        "activate.systemd: found command and systemd; wanted exactly one of command, systemd, supervisor",
    ),
    "a word": ("./run", "activate: found the text './run'; wanted a mapping: what starts a release after the switch"),
    "a shell's line": (
        "{command: bin/restart}",
        (
            "activate.command: found the text 'bin/restart'; wanted a list: a program and its arguments, run in the "
            "live release's folder; never a shell (write [bin/restart])"
        ),
    ),
    "no program": ("{command: []}", f"activate.command: found an empty list; {PROGRAM}"),
    "an empty program": ("{command: ['']}", f"activate.command: found the program ''; {PROGRAM}"),
    "an option as program": ("{command: [-x]}", f"activate.command: found the program '-x'; {PROGRAM}"),
    "out of the release": ("{command: [../x]}", f"activate.command: found the program '../x'; {PROGRAM}"),
    "out of it in the middle": (
        "{command: [/opt/../bin/sh]}",
        f"activate.command: found the program '/opt/../bin/sh'; {PROGRAM}",
    ),
    "a number": (
        "{command: [x, 1]}",
        (
            "activate.command[1]: found 1; wanted a list: a program and its arguments, run in the live release's "
            "folder; never a shell (put it in quotes)"
        ),
    ),
    "a line break": (
        '{command: [x, "a\\nb"]}',
        (
            r"activate.command[1]: found the text 'a\nb'; wanted a list: a program and its arguments, run in the "
            "live release's folder; never a shell"
        ),
    ),
    "a unit of no type": (
        "{systemd: shop}",
        "activate.systemd: found the text 'shop'; wanted the name of a systemd unit, such as shop.service",
    ),
    "a unit that is an option": (
        "{systemd: --now.service}",
        "activate.systemd: found the text '--now.service'; wanted the name of a systemd unit, such as shop.service",
    ),
    "several programs": (
        "{supervisor: a b}",
        "activate.supervisor: found the text 'a b'; wanted the name of a supervisord program, or group:program",
    ),
    "a reload of a command": (
        "{command: [x], reload: true}",
        "activate.reload: found reload without a systemd unit; wanted reload beside systemd only",
    ),
    "variables for a unit": (
        "{systemd: shop.service, deliver: both}",
        "activate.deliver: found deliver: both; wanted file, for what is not started by a command",
    ),
    "an unknown delivery": (
        "{command: [x], deliver: disk}",
        (
            "activate.deliver: found the text 'disk'; wanted file, process or both: how config and secrets reach what "
            "is activated"
        ),
    ),
    "no unit of time": (
        "{command: [x], within: 5}",
        "activate.within: found 5; wanted how long it may take, from 1s to 1h (add a unit: 5s)",
    ),
    "too long": (
        "{command: [x], within: 61m}",
        "activate.within: found the text '61m'; wanted how long it may take, from 1s to 1h",
    ),
    "a slip of the pen": (
        "{comand: [x]}",
        (
            "activate: found the unknown key 'comand'; wanted one of command, systemd, reload, supervisor, deliver, "
            "within (did you mean command?)"
        ),
    ),
}


@pytest.mark.parametrize(("text", "problem"), BAD_ACTIVATIONS.values(), ids=BAD_ACTIVATIONS.keys())
def test_an_activation_that_can_not_be_meant_is_refused(text: str, problem: str) -> None:
    assert told(f"activate: {text}") == problem


# --- config and secrets ------------------------------------------------------------------------


def test_config_is_text_by_name_and_secrets_are_references() -> None:
    secrets = "secrets:\n  URL: {env: PROD_URL}\n  KEY: {file: /run/secrets/key}\n  TOKEN:\n" + AGE
    found = declared(GOOD + RUN + 'config: {PORT: "8080", empty_: ""}\n' + secrets)
    assert found.config == {"PORT": "8080", "empty_": ""}
    assert (found.secrets["URL"].env, found.secrets["KEY"].file) == ("PROD_URL", "/run/secrets/key")
    assert (found.secrets["TOKEN"].age or "").startswith("-----BEGIN AGE ENCRYPTED FILE-----\n")


NAME = "wanted letters, digits and _, not beginning with a digit or RECONCILER_, at most 128 characters"
TEXTS = "wanted a mapping of names to texts: plain settings for what is activated"
BAD_CONFIG = {
    "a number": ("config: {PORT: 80}", f"config.PORT: found 80; {TEXTS} (put it in quotes)"),
    "a NUL": (
        'config: {A: "\\0"}',
        "config.A: found text with a NUL in it; wanted text that a variable can hold",
    ),
    "a list": ("config: [A]", f"config: found a list; {TEXTS}"),
    "a name with a dash": ("config: {A-B: c}", f"config: found the name 'A-B'; {NAME}"),
    "a name of ours": ("config: {reconciler_x: c}", f"config: found the name 'reconciler_x'; {NAME}"),
    "a name twice": (
        "config: {A: b}\nsecrets: {A: {env: B}}",
        "secrets: found A in config and in secrets; wanted each name in one of them",
    ),
}


@pytest.mark.parametrize(("text", "problem"), BAD_CONFIG.values(), ids=BAD_CONFIG.keys())
def test_config_that_no_variable_can_hold_is_refused(text: str, problem: str) -> None:
    assert told(RUN + text) == problem


@pytest.mark.parametrize("key", ["config: {A: b}", "secrets: {A: {env: B}}"])
def test_config_and_secrets_need_something_that_gets_them(key: str) -> None:
    name = key.partition(":")[0]
    assert told(key) == f"{name}: found {name} without activate; wanted activate beside it: else nothing notices them"


REFERENCE = "wanted {env: NAME}, {file: /path} or {age: text} (a value itself never stands in Git)"
VARIABLE = "wanted the name of a variable in the daemon's environment"
FILE = "wanted the absolute path of a file on the daemon's machine, without . and .. in it"
ARMORED = "wanted the value encrypted with age, armored: -----BEGIN AGE ENCRYPTED FILE----- and so on"
BAD_SECRETS = {
    "the value itself": ("{A: hunter2}", f"secrets.A: found a text of 7 characters; {REFERENCE}"),
    "a number": ("{A: 4711081}", f"secrets.A: found no text; {REFERENCE}"),
    "a number in another base": (
        "{A: {env: 0x47110815}}",
        f"secrets.A.env: found something that is no text; {VARIABLE}",
    ),
    "a list of values": ("{A: [hunter2]}", f"secrets.A: found a list; {REFERENCE}"),
    "no mapping at all": (
        "hunter2",
        (
            "secrets: found a text of 7 characters; wanted a mapping of names to where their values are: {env: NAME}, "
            "{file: /path} or {age: text}"
        ),
    ),
    "nothing": ("{A: }", f"secrets.A: found an empty value; {REFERENCE}"),
    "an empty mapping": ("{A: {}}", "secrets.A: found none of them; wanted exactly one of env, file, age"),
    "two places": (
        "{A: {env: X, file: /x}}",
        "secrets.A.file: found env and file; wanted exactly one of env, file, age",
    ),
    "no name of a variable": ("{A: {env: hunter2!}}", f"secrets.A.env: found a text of 8 characters; {VARIABLE}"),
    "an empty variable": ("{A: {env: }}", f"secrets.A.env: found an empty value; {VARIABLE}"),
    "no absolute path": ("{A: {file: hunter2}}", f"secrets.A.file: found a text of 7 characters; {FILE}"),
    "a path that goes up": ("{A: {file: /a/../hunter2}}", f"secrets.A.file: found a text of 13 characters; {FILE}"),
    "a folder": (
        "{A: {file: /hunter2/}}",
        f"secrets.A.file: found a text of 9 characters; {FILE}",
    ),
    "nothing encrypted": ("{A: {age: hunter2}}", f"secrets.A.age: found a text of 7 characters; {ARMORED}"),
    "an unknown place": (
        "{A: {value: hunter2}}",
        "secrets.A: found the unknown key 'value'; wanted one of env, file, age",
    ),
    "a name that is none": ("{A B: {env: X}}", f"secrets: found the name 'A B'; {NAME}"),
}


@pytest.mark.parametrize(("text", "problem"), BAD_SECRETS.values(), ids=BAD_SECRETS.keys())
def test_what_stands_in_a_secret_s_place_is_not_shown(text: str, problem: str) -> None:
    found = told(f"{RUN}secrets: {text}")
    assert found == problem
    assert not any(value in found for value in ("hunter2", "4711"))


def test_two_hundred_names_and_no_more() -> None:
    entries = ", ".join(f"A{number}: x" for number in range(201))
    assert told(f"{RUN}config: {{{entries}}}").startswith("config: found a mapping; wanted a mapping of names to texts")


# --- health, and what follows ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{http: 'http://127.0.0.1:8080/healthz'}", "http"),
        ("{http: 'https://shop.internal'}", "http"),
        ("{http: 'http://[::1]:80/a?b=c@d'}", "http"),
        ("{http: 'http://127.0.0.1/', status: [200, 302], body: ok}", "http"),
        ("{tcp: '127.0.0.1:5432'}", "tcp"),
        ("{tcp: '[::1]:5432'}", "tcp"),
        ("{tcp: 'db.internal:65535'}", "tcp"),
        ("{command: [./bin/check, --quick]}", "command"),
    ],
)
def test_health_is_asked_in_one_of_three_ways(text: str, kind: str) -> None:
    assert checked(text).kind == kind


def test_what_is_left_out_of_a_check_is_an_ordinary_one() -> None:
    spec = checked("{tcp: 'localhost:1'}")
    assert (spec.within_seconds, spec.every_seconds, spec.timeout_seconds) == (60.0, 10.0, 5.0)
    assert (spec.successes, spec.failures, spec.status, spec.body) == (1, 3, (200, 204), None)


ADDRESS = "wanted an http or https address that answers with a good status"
GOOD_STATUS = "wanted a list of the good answers to http, such as [200, 204]"
BAD_CHECKS = {
    "nothing": ("{}", "health: found none of them; wanted exactly one of http, tcp, command"),
    "two ways": (
        "{tcp: 'h:1', command: [x]}",
        "health.command: found tcp and command; wanted exactly one of http, tcp, command",
    ),
    "another scheme": ("{http: 'ftp://h/'}", f"health.http: found the text 'ftp://h/'; {ADDRESS}"),
    "no host": ("{http: 'http:///x'}", f"health.http: found the text 'http:///x'; {ADDRESS}"),
    "a space": ("{http: 'http://h/a b'}", f"health.http: found the text 'http://h/a b'; {ADDRESS}"),
    "a fragment": ("{http: 'http://h/#a'}", f"health.http: found the text 'http://h/#a'; {ADDRESS}"),
    "a port that is none": ("{http: 'http://h:99999/'}", f"health.http: found the text 'http://h:99999/'; {ADDRESS}"),
    "a password": (
        "{http: 'http://u:hunter2@h/'}",
        f"health.http: found an address with a user's name or password in it; {ADDRESS} (a check has no credentials)",
    ),
    "no port": ("{tcp: host}", "health.tcp: found the text 'host'; wanted host:port that takes a connection"),
    "port 0": ("{tcp: 'h:0'}", "health.tcp: found the text 'h:0'; wanted host:port that takes a connection"),
    "a status without http": (
        "{tcp: 'h:1', status: [200]}",
        "health.status: found status without http; wanted status beside http only",
    ),
    "a body without http": (
        "{command: [x], body: ok}",
        "health.body: found body without http; wanted body beside http only",
    ),
    "one status": ("{http: 'http://h', status: 200}", f"health.status: found 200; {GOOD_STATUS}"),
    "no status": ("{http: 'http://h', status: []}", f"health.status: found an empty list; {GOOD_STATUS}"),
    "a status that is none": ("{http: 'http://h', status: [200, 99]}", f"health.status[1]: found 99; {GOOD_STATUS}"),
    "an empty body": (
        "{http: 'http://h', body: ''}",
        "health.body: found the text ''; wanted a text that the answer to http must hold",
    ),
    "too often": (
        "{tcp: 'h:1', every: 0.5s}",
        "health.every: found the text '0.5s'; wanted the time between two checks, from 1s to 1h",
    ),
    "too patient": (
        "{tcp: 'h:1', timeout: 2m}",
        "health.timeout: found the text '2m'; wanted how long one check may take, from 0.1s to 60s",
    ),
    "without a deadline": (
        "{tcp: 'h:1', within: 0s}",
        (
            "health.within: found the text '0s'; wanted how long the first good check may take after an activation, "
            "from 1s to 1h"
        ),
    ),
    "no successes": (
        "{tcp: 'h:1', successes: 0}",
        "health.successes: found 0; wanted good checks in a row that make it healthy: 1 to 100",
    ),
    "too many failures": (
        "{tcp: 'h:1', failures: 101}",
        "health.failures: found 101; wanted bad checks in a row that make it unhealthy: 1 to 100",
    ),
}


@pytest.mark.parametrize(("text", "problem"), BAD_CHECKS.values(), ids=BAD_CHECKS.keys())
def test_a_check_that_can_not_be_meant_is_refused(text: str, problem: str) -> None:
    assert told(f"health: {text}") == problem


def test_what_follows_a_failure_and_drift_is_one_of_two_words() -> None:
    assert (declared(GOOD).rollback, declared(GOOD).drift) == ("auto", "repair")
    found = declared(GOOD + "rollback: hold\ndrift: report\n")
    assert (found.rollback, found.drift) == ("hold", "report")
    assert told("rollback: never").startswith("rollback: found the text 'never'; wanted auto or hold: ")
    assert told("drift: ignore").startswith("drift: found the text 'ignore'; wanted repair or report: ")


# --- what is a new activation ------------------------------------------------------------------

BASE = "activate: {command: [./run], within: 30s}\nconfig: {A: b}\nsecrets: {S: {env: X}}\n"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        pytest.param(BASE.replace("30s", "40s"), True, id="another deadline"),
        pytest.param(BASE + "health: {tcp: 'h:1'}\n", True, id="a check"),
        pytest.param(BASE + "rollback: hold\n", True, id="what follows a failure"),
        pytest.param(BASE.replace("./run", "./go"), False, id="another command"),
        pytest.param(BASE.replace("within", "deliver: both, within"), False, id="another delivery"),
        pytest.param(BASE.replace("A: b", "A: c"), False, id="another value"),
        pytest.param(BASE.replace("A: b", "B: b"), False, id="another name"),
        pytest.param(BASE.replace("env: X", "env: Y"), False, id="another place of a secret"),
    ],
)
def test_a_new_activation_is_whatever_changes_what_is_given_to_it(text: str, same: bool) -> None:
    assert (declared(GOOD + text).activation == declared(GOOD + BASE).activation) == same


def test_an_environment_is_run_that_is_activated_or_checked() -> None:
    assert not declared(GOOD).is_run
    assert declared(GOOD + RUN).is_run
    assert declared(GOOD + "health: {tcp: 'h:1'}\n").is_run


# --- the schema that editors use ---------------------------------------------------------------


def minimal(model: type[Any], key: str, example: object) -> dict[str, object]:
    """The least that must stand beside an example."""
    one_of = {"ActivateSpec": "command", "HealthSpec": "http", "SecretSpec": "env"}[model.__name__]
    one_of = "systemd" if key == "reload" else one_of
    first = {"command": ("x",), "systemd": "x.service", "http": "http://h/", "env": "X"}[one_of]
    alone = key in ("command", "systemd", "supervisor", "http", "tcp", "env", "file", "age")
    return {key: example} if alone else {one_of: first, key: example}


@pytest.mark.parametrize("model", [ActivateSpec, HealthSpec, SecretSpec])
def test_every_example_of_the_schema_is_valid(model: type[ActivateSpec | HealthSpec | SecretSpec]) -> None:
    seen = 0
    for key, info in model.model_fields.items():
        for example in info.examples or ():
            value = tuple(example) if isinstance(example, list) else example
            model.model_validate(minimal(model, key, value))
            seen += 1
    assert seen


@pytest.mark.parametrize("key", ["config", "secrets"])
def test_the_examples_of_config_and_secrets_are_valid(key: str) -> None:
    (example,) = Declaration.model_fields[key].examples or [None]
    assert problems(GOOD + RUN + f"{key}: {example}\n".replace("'", '"')) == []


def test_the_schema_asks_for_exactly_one_way() -> None:
    definitions: Any = json_schema()["$defs"]
    for name, ways in (
        ("ActivateSpec", ["command", "systemd", "supervisor"]),
        ("HealthSpec", ["http", "tcp", "command"]),
        ("SecretSpec", ["env", "file", "age"]),
    ):
        assert definitions[name]["oneOf"] == [{"required": [way]} for way in ways]


def test_every_problem_is_told_at_its_place() -> None:
    text = GOOD + "activate:\n  command: [x]\n  within: 5\nhealth:\n  tcp: nope\n  every: 1ms\n"
    found = [(problem.line, problem.column, problem.at) for problem in read("x.yaml", text.encode()).problems]
    assert found == [(12, 11, "activate.within"), (14, 8, "health.tcp"), (15, 10, "health.every")]
