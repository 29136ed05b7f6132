"""The operator's settings: what wins over what, where paths start, and what a mistake is told like."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reconciler.activators import command
from reconciler.errors import Reason, Terminal
from reconciler.forges.signed_merge import SignedMergeOptions
from reconciler.settings import Settings, load
from reconciler.settings.words import options_in_words
from reconciler.sources import directory, http

SOURCE = "sources: {ci: {type: directory, root: runs, provenance: {repositories: [a], workflows: [b]}}}\n"

Load = Callable[..., Settings]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("RECONCILER_"):
            monkeypatch.delenv(name)
    (tmp_path / "started").mkdir()
    monkeypatch.chdir(tmp_path / "started")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path / "etc/reconciler.yaml"


@pytest.fixture
def settings(file: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    def settings(text: str = "", **variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(f"RECONCILER_{name}", value)
        if text:
            file.write_text(text)
        return load(file if text else None)

    return settings


def problems(settings: Load, text: str = "", **variables: str) -> list[str]:
    with pytest.raises(Terminal) as refused:
        settings(text, **variables)
    assert refused.value.reason is Reason.INVALID_SETTINGS
    return refused.value.message.splitlines()


# --- what wins ----------------------------------------------------------------------------------


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(settings: Load) -> None:
    read = settings("workers: 3\ndrift_seconds: 5\n", WORKERS="4")
    assert (read.workers, read.drift_seconds, read.stop_seconds) == (4, 5.0, 30.0)


def test_a_variable_changes_one_key_of_a_section_and_leaves_its_neighbours(settings: Load) -> None:
    read = settings("repository: {branch: live, poll_seconds: 1}\n", REPOSITORY__POLL_SECONDS="2")
    assert (read.repository.branch, read.repository.poll_seconds, read.repository.url) == ("live", 2.0, ".")


def test_an_empty_variable_counts_as_unset(settings: Load) -> None:
    read = settings("workers: 3\n", WORKERS="", STATE="", REPOSITORY__BRANCH="")
    assert (read.workers, read.repository.branch, read.state.name) == (3, "main", "reconciler")


def test_a_source_can_be_set_up_by_variables_alone(settings: Load) -> None:
    rules = {"SOURCES__CI__PROVENANCE__REPOSITORIES": '["a"]', "SOURCES__CI__PROVENANCE__WORKFLOWS": '["b"]'}
    source = settings(SOURCES__CI__TYPE="directory", SOURCES__CI__ROOT="/runs", **rules).sources["ci"]
    assert (source.type, source.options, source.provenance.workflows) == ("directory", {"root": "/runs"}, ("b",))


def test_the_rules_for_new_environments_can_be_set_by_variables(settings: Load) -> None:
    read = settings(NEW_ENVIRONMENTS__REQUIRED="2", NEW_ENVIRONMENTS__ALLOW_SELF="true").new_environments
    assert read != "none"
    assert (read.required, read.allow_self) == (2, True)


@pytest.mark.parametrize("by", ["file", "variable"])
def test_the_floors_are_a_list_of_approvals(by: str, settings: Load) -> None:
    text = '[{"required": 2, "from": ["a", "b"]}, {"allow_self": true, "environments": ["shop/*"]}]'
    one, other = (settings(f"floors: {text}\n") if by == "file" else settings(FLOORS=text)).floors
    assert (one.required, one.from_, one.environments) == (2, ("a", "b"), ("*",))
    assert (other.required, other.allow_self, other.environments) == (1, True, ("shop/*",))


@pytest.mark.parametrize("by", ["argument", "variable", "folder"])
def test_a_settings_file_is_found_by(by: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "started/reconciler.yaml").write_text("workers: 1\n")
    file.write_text("workers: 2\n")
    if by == "variable":
        monkeypatch.setenv("RECONCILER_CONFIG", str(file))
    assert load(file if by == "argument" else None).workers == (1 if by == "folder" else 2)


# --- where paths start --------------------------------------------------------------------------


def test_relative_paths_are_meant_from_the_file_s_folder(settings: Load, file: Path) -> None:
    read = settings(
        "state: state\nforge: {type: signed_merge, allowed_signers: people}\n"
        "targets: {directory: {roots: [live]}}\n" + SOURCE
    )
    assert read.state == file.parent / "state"
    assert read.sources["ci"].options == {"root": str(file.parent / "runs")}
    assert read.targets == {"directory": {"roots": [str(file.parent / "live")]}}
    assert read.forge is not None
    assert read.forge.options == {"allowed_signers": str(file.parent / "people")}


@pytest.mark.parametrize("url", ["origin.git", "./origin.git", "../origin.git", "repositories/a:b", "."])
def test_a_repository_that_is_a_path_is_meant_from_the_file_s_folder(url: str, settings: Load, file: Path) -> None:
    assert settings(f"repository: {{url: '{url}'}}\n").repository.url == str(file.parent / url)


@pytest.mark.parametrize(
    "url", ["git@example.com:acme/deploy.git", "host:path", "https://example.com/x.git", "file:///x.git", "/srv/x.git"]
)
def test_a_repository_that_is_an_address_or_absolute_stays_as_it_is(url: str, settings: Load) -> None:
    assert settings(f"repository: {{url: '{url}'}}\n").repository.url == url


def test_a_web_source_s_url_is_no_path(settings: Load) -> None:
    text = SOURCE.replace("type: directory, root: runs", "type: http, url: ./runs")
    assert settings(text).sources["ci"].options == {"url": "./runs"}


def test_a_home_that_nobody_has_is_left_as_it_is_written(settings: Load, file: Path) -> None:
    assert settings("state: ~nobody-of-that-name/state\n").state == file.parent / "~nobody-of-that-name/state"


def test_files_of_secrets_are_meant_from_the_file_s_folder(settings: Load, file: Path) -> None:
    rule = "{environments: [prod], files: [secrets, /etc/x], identities: [prod.agekey]}"
    (read,) = settings(f"secrets: {{allow: [{rule}]}}\n").secrets.allow
    assert read.files == (file.parent / "secrets", Path("/etc/x"))
    assert read.identities == (file.parent / "prod.agekey",)


def test_the_password_of_supervisord_is_meant_from_the_file_s_folder(settings: Load, file: Path) -> None:
    read = settings("activators: {supervisor: {username: x, password_file: word, allow: [{programs: [a]}]}}\n")
    assert read.activators["supervisor"]["password_file"] == str(file.parent / "word")
    assert read.activators["supervisor"]["allow"] == [{"programs": ["a"]}]


def test_rules_can_be_set_by_variables_as_json(settings: Load) -> None:
    read = settings(
        SECRETS='{"allow": [{"environments": ["prod"], "env": ["A"]}]}',
        ACTIVATORS='{"command": {"allow": [{"argv": ["x"], "environments": ["*"]}]}}',
    )
    assert read.secrets.allow[0].env == ("A",)
    assert read.activators["command"]["allow"][0]["argv"] == ["x"]


def test_nothing_may_be_run_and_no_secret_used_by_default(settings: Load) -> None:
    read = settings()
    assert (read.activators, read.probes, read.secrets.allow) == ({}, {}, ())
    assert (read.drift_seconds, read.drift_watch, read.drift_repairs, read.rehash_seconds) == (300.0, True, 6, 21_600.0)


# --- mistakes -----------------------------------------------------------------------------------

IN_THE_FILE: dict[str, tuple[str, list[str]]] = {
    "an unknown key": (
        "wrokers: 3\n",
        ["1:1: wrokers: no such key; did you mean workers? known: state, repository, forge, sources, targets, "],
    ),
    "an unknown key of a section": (
        "repository:\n  ulr: x\n",
        ["2:3: repository.ulr: no such key; did you mean url? known: url, branch, poll_seconds, reverts, "],
    ),
    "an unknown key of a list of rules": (
        SOURCE.replace("workflows: [b]", "workflows: [b], branchs: [c]"),
        ["1:93: sources.ci.provenance.branchs: no such key; did you mean branches?"],
    ),
    "a missing rule": (
        SOURCE.replace(", workflows: [b]", ""),
        ["1:45: sources.ci.provenance.workflows: this key is required: workflows that may build"],
    ),
    "a missing type": ("forge: {allowed_signers: x}\n", ["1:1: forge.type: this key is required: which adapter"]),
    "a number out of range": ("workers: 0\n", ["1:1: workers: found 0; wanted a whole number from 1 to 256: "]),
    "a number that is not above zero": (
        "bounds: {git_seconds: 0}\n",
        ["1:10: bounds.git_seconds: found 0; wanted a number above 0: Deadline of one git call that crosses a network"],
    ),
    "text for a number": (
        "workers: many\n",
        ["1:1: workers: found text of 4 characters; wanted a whole number from 1 to 256: environments"],
    ),
    "a number that YAML reads otherwise": ("workers: 012\n", ["1:1: workers: found 012; wanted a whole number"]),
    "a word that is none of those allowed": (
        "log_level: loud\n",
        ["1:1: log_level: found text of 4 characters; wanted debug, info, warning or error: from which level on"],
    ),
    "an empty list": (
        SOURCE.replace("[a]", "[]"),
        ["repositories: found an empty list; wanted a list of text with at least one entry: repositories"],
    ),
    "a number in a list": (
        SOURCE.replace("[b]", "[1]"),
        ["workflows[0]: found 1; wanted text: workflows that may build"],
    ),
    "text for a section": (
        "repository: x\n",
        ["1:1: repository: found text of 1 characters; wanted a mapping: the repository"],
    ),
    "text for a source": ("sources: {ci: x}\n", ["1:11: sources.ci: found text of 1 characters; wanted a mapping"]),
    "a list for a target": ("targets: {directory: []}\n", ["targets.directory: found an empty list; wanted a mapping"]),
    "a word for the approval": (
        "new_environments: nobody\n",
        ["1:1: new_environments: found text of 6 characters; wanted a mapping or none: who must let a new environment"],
    ),
    "a number of the approval": (
        "new_environments: {required: 0}\n",
        ["1:20: new_environments.required: found 0; wanted how many people must approve"],
    ),
    "a floor in place of a list of them": (
        "floors: {required: 2}\n",
        ["1:1: floors: found a mapping; wanted a list of mappings: the operator's floor"],
    ),
    "a word for a floor": (
        "floors: [none]\n",
        ["1:10: floors[0]: found text of 4 characters; wanted a mapping: the op"],
    ),
    "a number of a floor": (
        "floors:\n- {required: 0}\n",
        ["2:4: floors[0].required: found 0; wanted how many people must approve"],
    ),
    "an unknown key of a floor": (
        "floors:\n- {environment: [prod]}\n",
        ["2:4: floors[0].environment: no such key; did you mean environments? known: required, from, allow_self"],
    ),
    "a pattern of a floor": (
        "floors:\n- {environments: [Prod]}\n",
        ["floors[0].environments[0]: found text of 4 characters; wanted text: a list of the environments"],
    ),
    "an unknown key of a rule for secrets": (
        "secrets:\n  allow:\n  - {environments: [prod], file: [/x]}\n",
        ["3:28: secrets.allow[0].file: no such key; did you mean files? known: environments, env, files, identities"],
    ),
    "a rule for secrets that is for nobody": (
        "secrets: {allow: [{env: [A]}]}\n",
        ["1:19: secrets.allow[0].environments: this key is required: the environments that it is for"],
    ),
    "a secret where its name belongs": (
        "secrets: {allow: [{environments: [prod], env: ['s3cret!']}]}\n",
        ["1:48: secrets.allow[0].env[0]: found text of 7 characters; wanted text: names of the daemon's variables"],
    ),
    "a list for an activator": (
        "activators: {command: []}\n",
        ["activators.command: found an empty list; wanted a mapping"],
    ),
    "too few bytes": (
        "bounds: {output_bytes: 0}\n",
        ["1:10: bounds.output_bytes: found 0; wanted a whole number"],
    ),
    "several at once, in the order of the file": (
        "workers: 0\nrepository: {ulr: x}\nlog_format: xml\n",
        ["1:1: workers: found 0", "2:14: repository.ulr: no such key", "3:1: log_format: found text of 3 characters"],
    ),
    "an address in the wrong place": (
        "workers: https://user:s3cret@example.com\n",
        ["1:1: workers: found text of 31 characters; wanted a whole number"],
    ),
    "a list for the whole": ("- a\n", ["1:1: found no mapping; wanted the settings by key"]),
}


@pytest.mark.parametrize(("text", "told"), IN_THE_FILE.values(), ids=IN_THE_FILE.keys())
def test_a_mistake_in_the_file_is_told_with_its_place(text: str, told: list[str], settings: Load, file: Path) -> None:
    found = problems(settings, text)
    assert len(found) == len(told)
    for problem, words in zip(found, told, strict=True):
        assert problem.startswith(f"{file}:")
        assert words in problem
        assert "s3cret" not in problem


IN_VARIABLES: dict[str, tuple[dict[str, str], str]] = {
    "an unknown name": ({"STAET": "x"}, "RECONCILER_STAET: there is no such setting; did you mean RECONCILER_STATE?"),
    "one underscore too few": (
        {"REPOSITORY_URL": "x"},
        "RECONCILER_REPOSITORY_URL: there is no such setting; did you mean RECONCILER_REPOSITORY__URL?",
    ),
    "an unknown key of a section": (
        {"BOUNDS__GIT_SECOND": "1"},
        "RECONCILER_BOUNDS__GIT_SECOND: there is no such setting; did you mean RECONCILER_BOUNDS__GIT_SECONDS?",
    ),
    "a key below a plain value": ({"WORKERS__X": "1"}, "RECONCILER_WORKERS__X: there is no such setting"),
    "an unknown rule of a source": (
        {"SOURCES__CI__PROVENANCE__TAGS": "1"},
        "RECONCILER_SOURCES__CI__PROVENANCE__TAGS: there is no such setting",
    ),
    "a value out of range": (
        {"WORKERS": "0"},
        "RECONCILER_WORKERS: found text of 1 characters; wanted a whole number from 1",
    ),
    "a list that is no JSON": (
        {"SOURCES__CI__PROVENANCE__WORKFLOWS": "build.yml"},
        "RECONCILER_SOURCES__CI__PROVENANCE__WORKFLOWS: found text that is no JSON list or mapping; wanted a list",
    ),
    "a section that is no JSON": ({"REPOSITORY": "."}, "RECONCILER_REPOSITORY: found text that is no JSON"),
    "a key in a section's JSON": ({"REPOSITORY": '{"ulr": "x"}'}, "RECONCILER_REPOSITORY: ulr: no such key; did you"),
    "a value in a section's JSON": ({"BOUNDS": '{"redirects": -1}'}, "RECONCILER_BOUNDS: redirects: found -1; wanted"),
    "a key of a floor": (
        {"FLOORS__0__REQUIRE": "2"},
        "RECONCILER_FLOORS__0__REQUIRE: there is no such setting; did you mean RECONCILER_FLOORS?",
    ),
    "a floor that is no JSON": ({"FLOORS": "2"}, "RECONCILER_FLOORS: found text that is no JSON list or mapping"),
    "a value in a floor's JSON": ({"FLOORS": '[{"required": 0}]'}, "RECONCILER_FLOORS: [0].required: found 0; wanted"),
    "a source without its rules": (
        {"SOURCES__CI__TYPE": "directory"},
        "RECONCILER_SOURCES__CI__TYPE: sources.ci.provenance: this key is required",
    ),
}


@pytest.mark.parametrize(("variables", "told"), IN_VARIABLES.values(), ids=IN_VARIABLES.keys())
def test_a_mistake_in_a_variable_is_told_by_its_name_and_not_by_the_file(
    variables: dict[str, str], told: str, settings: Load
) -> None:
    (problem,) = problems(settings, "workers: 2\nrepository: {branch: main}\n", **variables)
    assert problem.startswith(told)


def test_a_mistake_in_the_file_beside_a_variable_for_the_same_section_is_told_by_the_file(
    settings: Load, file: Path
) -> None:
    (problem,) = problems(settings, "repository: {branch: 5}\n", REPOSITORY='{"url": "x"}')
    assert problem == f"{file}:1:14: repository.branch: found 5; wanted text: the tracked branch"


@pytest.mark.parametrize("name", ["RECONCILER_DEMO_DIR", "RECONCILER_CI_TOKEN", "_RECONCILER_COMPLETE"])
def test_a_variable_with_another_use_is_no_mistake(name: str, settings: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    settings(SOURCE.replace("type: directory", "type: http, token_env: RECONCILER_CI_TOKEN"))


def test_the_variable_that_holds_the_webhook_s_secret_is_no_mistake(
    settings: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_HOOK_SECRET", "x")
    settings("web: {listen: '127.0.0.1:8080', webhook_secret_env: RECONCILER_HOOK_SECRET}\n")


def test_a_variable_that_holds_the_address_of_a_route_is_no_mistake(
    settings: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_ONCALL_URL", "x")
    (route,) = settings("notifications: {routes: [{name: a, url_env: RECONCILER_ONCALL_URL}]}\n").notifications.routes
    assert (route.name, route.url_env, len(route.kinds)) == ("a", "RECONCILER_ONCALL_URL", 6)


def test_the_variable_that_holds_supervisord_s_password_is_no_mistake(
    settings: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECONCILER_SUPERVISOR_WORD", "x")
    settings("activators: {supervisor: {username: x, password_env: RECONCILER_SUPERVISOR_WORD}}\n")


def test_the_file_of_the_webhook_s_secrets_is_meant_from_the_file_s_folder(settings: Load, file: Path) -> None:
    assert settings("web: {webhook_secret_file: hook}\n").web.webhook_secret_file == file.parent / "hook"


@pytest.mark.parametrize("by", ["argument", "variable"])
def test_a_file_that_is_not_there_is_told_with_who_named_it(
    by: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "variable":
        monkeypatch.setenv("RECONCILER_CONFIG", str(file))
    with pytest.raises(Terminal, match=f"{file}: No such file or directory") as refused:
        load(file if by == "argument" else None)
    told = "RECONCILER_CONFIG names it: unset it, or correct it"
    assert (refused.value.hint == told) == (by == "variable")


# --- options of adapters ------------------------------------------------------------------------

OPTIONS: dict[str, tuple[Any, dict[str, object], str]] = {
    "an unknown key": (
        directory.Options,
        {"root": "/runs", "roots": []},
        "sources.ci.roots: no such key; docs/settings.md lists those of this type",
    ),
    "a missing key": (directory.Options, {}, "sources.ci.root: this key is required"),
    "a wrong type": (http.Options, {"url": 5}, "sources.ci.url: found 5; wanted text"),
    "a rule for nobody": (
        command.Options,
        {"allow": [{"argv": ["x"]}]},
        "sources.ci.allow[0].environments: this key is required",
    ),
    "a pattern for any program": (
        command.Options,
        {"allow": [{"argv": ["**"], "environments": ["*"]}]},
        (
            "sources.ci.allow[0].argv: ** stands for any further arguments, so only behind a program, as the last "
            "of the list"
        ),
    ),
    "keys that need each other": (
        SignedMergeOptions,
        {},
        "sources.ci: name allowed_signers, gpg_keyring, or both: without keys nobody can approve",
    ),
}


@pytest.mark.parametrize(("model", "options", "told"), OPTIONS.values(), ids=OPTIONS.keys())
def test_a_mistake_in_an_adapter_s_options_is_told_in_our_words(
    model: Any, options: dict[str, object], told: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(options)
    assert options_in_words("sources.ci", refused.value) == [told]
