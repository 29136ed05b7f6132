"""Declarations and what they name: `validate`, `diff`, `schema`, `publish`."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.annotating import Form, FormOption, annotations_of
from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import EnvironmentArgument, Output, OutputOption, settings_file

if TYPE_CHECKING:
    from reconciler.cli.validation import Findings
    from reconciler.model import Run
    from reconciler.settings import Settings


class Document(StrEnum):
    """The files that people write."""

    ENVIRONMENT = "environment"
    POLICY = "policy"


_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def validate(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="PATH", help="Files or folders; default: ./environments.")
    ] = None,
    output: FormOption = Form.TABLE,
) -> None:
    """Check environment files and the policy: every problem.

    Each with file, line and column; for editors, pre-commit and CI. Exits with 1 when there is a problem. Needs no
    settings and no network. The environments in promote.after are looked up in the whole folder, also when only some
    of its files are named.
    """
    from reconciler.cli import validation

    findings = validation.validate(paths or [Path("environments")])
    if output in (Form.JSON, Form.YAML):
        from reconciler import documents
        from reconciler.cli import forms

        items = [documents.problem(problem) for problem in findings.problems]
        notes = [
            {"file": note.file, "line": note.line, "column": note.column, "at": note.at, "what": note.what}
            for note in findings.notes
        ]
        body = {"environments": findings.environments, "policies": findings.policies, "items": items, "notes": notes}
        document = documents.kind("ProblemList", body)
        forms.answer(Output(output), lambda: document, (), lambda: None)
    else:
        _show(findings, output)
    if findings.problems:
        raise typer.Exit(ExitCode.FAILED)


def _show(findings: Findings, output: Form) -> None:
    from reconciler.cli.render import note, say
    from reconciler.core.readable import counted

    if output is Form.GITHUB:
        for line in annotations_of(findings):
            say(line)
    else:
        for problem in findings.problems:
            say(str(problem))
        for remark in findings.notes:
            note(f"note: {remark}")
    count = len(findings.problems)
    if count:
        files = len({problem.file for problem in findings.problems})
        note(f"{counted(count, 'problem')} in {counted(files, 'file')}")
    else:
        environments, policy = findings.environments, findings.policies > 0
        told = [counted(environments, "environment")] if environments or not policy else []
        told += ["the policy"] if policy else []
        say(f"{' and '.join(told)} {'is' if environments + policy == 1 else 'are'} valid")


def diff(
    ctx: typer.Context,
    environment: EnvironmentArgument,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 1 when there is a difference.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Compare what is declared with what is on the target now.

    Path by path; both sides are looked at anew, and nothing is changed.
    """
    from reconciler import documents
    from reconciler.cli import difference, forms, memory
    from reconciler.cli.progress import showing

    with memory.recall(settings_file(ctx)) as known, showing(f"comparing every byte that is live in {environment}"):
        found = difference.find(known.settings, known.store, environment)
    forms.answer(
        output,
        lambda: documents.kind("Difference", difference.document(found)),
        [item.path for item in found.drift],
        lambda: difference.show(found),
    )
    if exit_code and found.differs:
        raise typer.Exit(ExitCode.FAILED)


def schema(
    of: Annotated[
        Document, typer.Argument(metavar="KIND", help="environment or policy: of which file.")
    ] = Document.ENVIRONMENT,
) -> None:
    """Print the JSON Schema of environment files, for editors.

    Or that of the policy file, when `policy` is named.
    """
    from reconciler.cli.render import raw

    raw(schema_text(of))


def schema_text(of: Document = Document.ENVIRONMENT) -> str:
    """The schema as it is committed beside the declarations."""
    import json

    from reconciler.core.declare import json_schema
    from reconciler.core.policyfile import policy_json_schema

    return json.dumps(json_schema() if of is Document.ENVIRONMENT else policy_json_schema(), indent=2) + "\n"


def publish(
    artifacts: Annotated[list[str], typer.Argument(metavar="NAME=FILE", help="Artifacts and their files.")],
    ctx: typer.Context,
    run_id: Annotated[
        int | None, typer.Option(envvar="GITHUB_RUN_ID", metavar="ID", min=1, help="The CI run's number; needed.")
    ] = None,
    repository: Annotated[
        str | None,
        typer.Option(envvar="GITHUB_REPOSITORY", metavar="OWNER/NAME", help="The repository that was built; needed."),
    ] = None,
    branch: Annotated[
        str | None, typer.Option(envvar="GITHUB_REF_NAME", metavar="NAME", help="The branch that was built; needed.")
    ] = None,
    event: Annotated[
        str | None, typer.Option(envvar="GITHUB_EVENT_NAME", metavar="NAME", help="What started the run; needed.")
    ] = None,
    commit: Annotated[
        str | None, typer.Option(envvar="GITHUB_SHA", metavar="SHA", help="The commit that was built, in full; needed.")
    ] = None,
    head_repository: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="Where the code came from, when from a fork; default: the repository."),
    ] = None,
    conclusion: Annotated[str, typer.Option(metavar="WORD", help="How the run ended.")] = "success",
    attempt: Annotated[
        int, typer.Option(envvar="GITHUB_RUN_ATTEMPT", metavar="N", min=1, help="Which attempt of the run.")
    ] = 1,
    workflow: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The workflow that built it; default: the file in GITHUB_WORKFLOW_REF.",
            show_default=False,
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of runs; default: that of the settings' one source.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Store a run and its artifacts, at the end of a CI job.

    They go where a `directory` or `http` source finds them. Prints the two lines to declare for each artifact.
    """
    from reconciler import wiring
    from reconciler.bounds import Bounds
    from reconciler.cli.progress import showing
    from reconciler.core.readable import counted
    from reconciler.machine.clock import SystemClock
    from reconciler.model import Run, RunId
    from reconciler.publish import publish as store_run
    from reconciler.settings import load

    files = _files(artifacts)
    workflow = workflow or _workflow()
    given = (run_id, repository, branch, event, commit, workflow)
    _expect(dict(zip(_NEEDED, given, strict=True)))
    assert run_id and repository and branch and event and commit  # noqa: PT018 - for the type checker
    settings = None if root else load(settings_file(ctx))
    folder = root or _only_root(settings)
    facts = Run(
        run_id=RunId(run_id),
        repository=repository,
        head_repository=head_repository or repository,
        workflow=workflow,
        branch=branch,
        event=event,
        commit=commit,
        conclusion=conclusion,
        attempt=attempt,
        created=SystemClock().now(),
        artifacts=(),
    )
    with showing(f"copying {counted(len(files), 'file')} to {folder}"):
        run = store_run(folder, facts, files, wiring.silent, settings.bounds if settings else Bounds())

    _tell(run, folder, output)


def _tell(run: Run, folder: Path, output: Output) -> None:
    from reconciler import documents
    from reconciler.cli import forms
    from reconciler.cli.render import note, say

    def table() -> None:
        for artifact in run.artifacts:
            note(f"{artifact.name}: {artifact.size} bytes, stored at {folder / str(run.run_id) / artifact.file}")
            say(f"  run_id: {run.run_id}")
            say(f"  sha256: {artifact.sha256}")

    items = [{"name": a.name, "file": a.file, "size": a.size, "sha256": a.sha256} for a in run.artifacts]
    forms.answer(
        output,
        lambda: documents.kind("PublishedRun", {"runId": run.run_id, "artifacts": items}),
        [artifact.name for artifact in run.artifacts],
        table,
    )


_NEEDED = ("--run-id", "--repository", "--branch", "--event", "--commit", "--workflow")


def _expect(given: dict[str, int | str | None]) -> None:
    """Every fact that a run needs, told at once.

    Raises:
        Stop: Some are missing, or the commit is not one.
    """
    if missing := [name for name, value in given.items() if not value]:
        hint = "give them; in GitHub Actions they come from its variables (GITHUB_RUN_ID, GITHUB_SHA …)"
        raise Stop(ExitCode.USAGE, f"nothing says {', '.join(missing)}", hint)
    if not _COMMIT.fullmatch(commit := str(given["--commit"])):
        raise Stop(
            ExitCode.USAGE,
            f"--commit: found {commit[:80]!r}; wanted the full id of a commit: 40 or 64 lower-case hex digits",
            "`git rev-parse HEAD` prints it",
        )


def _workflow() -> str:
    """The workflow's file, as GitHub Actions tells it: `owner/name/.github/workflows/build.yml@refs/heads/main`."""
    import os

    return "".join(os.environ.get("GITHUB_WORKFLOW_REF", "").partition("@")[0].split("/", 2)[2:])


def _files(artifacts: list[str]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for text in artifacts:
        name, found, file = text.partition("=")
        if not (name and found and file):
            raise Stop(ExitCode.USAGE, f"{text!r} names no artifact", "write NAME=FILE, such as shop=dist/shop.zip")
        if name in files:
            raise Stop(ExitCode.USAGE, f"the artifact {name!r} is named twice")
        files[name] = Path(file)
    return files


def _only_root(settings: Settings | None) -> Path:
    """The folder of the one source that has one."""
    assert settings is not None
    options = [plugged.options.get("root") for plugged in settings.source_settings().values()]
    roots = [Path(root) for root in options if isinstance(root, str)]
    if len(roots) != 1:
        raise Stop(ExitCode.USAGE, f"the settings name {len(roots)} folders of runs", "say which with --root DIR")
    return roots[0]
