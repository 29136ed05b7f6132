"""An example or a few for each command, as its help ends with them. Every line is tried by a test."""

from __future__ import annotations

from collections.abc import Mapping

EXAMPLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("what is live, and what is held?", "reconciler get"),
        ("why does prod not change, and what is to be done?", "reconciler why prod"),
        ("what does that reason mean?", "reconciler explain SelfApproval"),
        ("bring what staging runs to prod, by a pull request", "reconciler promote prod --from staging"),
    ),
    "run": (
        ("with the settings of this folder, or of the machine", "reconciler run"),
        ("with those of a file", "reconciler -c /etc/reconciler/reconciler.yaml run"),
    ),
    "reconcile": (
        ("every environment, once", "reconciler reconcile"),
        ("two of them, for a script", "reconciler reconcile dev staging -o json"),
    ),
    "get": (
        ("where everything stands", "reconciler get"),
        ("and each change, as it happens", "reconciler get -w"),
        ("everything that is known, and for programs", "reconciler get prod -o wide\nreconciler get -o json"),
    ),
    "why": (
        ("the reason, what to do, and each gate", "reconciler why prod"),
        ("for a script: 3 says that a gate holds", "reconciler why prod -o json"),
    ),
    "describe": (
        ("now, with the last attempts and events", "reconciler describe prod"),
        ("which bytes ran then, and who had let them in?", "reconciler describe prod --at 2026-11-22T14:05Z"),
    ),
    "history": (
        ("the newest attempts of one environment", "reconciler history prod"),
        ("all of all of them, for a spreadsheet", "reconciler history --all -o csv"),
    ),
    "events": (
        ("what changed last", "reconciler events --limit 20"),
        ("what changes, as it happens", "reconciler events prod -w"),
    ),
    "wait": (
        ("after a merge: until run 102 is live there", "reconciler wait staging --for run=102 --timeout 5m"),
        ("until both are as declared and healthy", "reconciler wait dev staging --for Ready"),
    ),
    "explain": (
        ("what it means, what stays live, what to do", "reconciler explain SelfApproval"),
        ("every reason, one line each", "reconciler explain"),
    ),
    "validate": (
        ("all files below ./environments", "reconciler validate"),
        ("some of them, as a hook of pre-commit does", "reconciler validate environments/prod.yaml"),
    ),
    "diff": (
        ("what is not as declared?", "reconciler diff prod"),
        ("for a script: 1 says that something differs", "reconciler diff prod --exit-code -o name"),
    ),
    "schema": (
        ("for editors, beside the environment files", "reconciler schema > environments/environment.schema.json"),
        ("that of the policy file", "reconciler schema policy"),
    ),
    "publish": (
        (
            "at the end of a job of GitHub Actions, whose variables say the rest",
            "reconciler publish shop=dist/shop.zip",
        ),
        (
            "elsewhere",
            """reconciler publish --root /srv/ci/runs --run-id 102 --repository acme/shop --workflow build.yml \\
    --branch main --event push --commit 3cb2218ca2604d6c8e0f5a1b7d9e3c5a7f9b1d3e shop=dist/shop.zip""",
        ),
    ),
    "plan": (
        ("what would merging my branch do?", "reconciler plan"),
        ("as the comment of a pull request", "reconciler plan --base origin/main --head HEAD -o markdown"),
        ("a pull request that the forge knows", "reconciler plan --request 42"),
    ),
    "promote": (
        ("what staging declares", "reconciler promote prod --from staging"),
        ("a run of CI; first only see the change", "reconciler promote staging --run 17243512345 --dry-run"),
    ),
    "rollback": (
        ("to the last good release", "reconciler rollback prod"),
        (
            "to a certain one, and what is left may run nowhere again",
            "reconciler rollback prod --to 101 --revoke 'it loses orders'",
        ),
    ),
    "retry": (("what failed is tried again", "reconciler retry prod"),),
    "suspend": (("leave it alone, and say why", "reconciler suspend prod --reason 'disk is being replaced'"),),
    "resume": (("go on", "reconciler resume prod"),),
    "accept-rewrite": (
        (
            "after a force-push that was meant",
            "reconciler accept-rewrite 3cb2218ca2604d6c8e0f5a1b7d9e3c5a7f9b1d3e --reason 'removed a leaked file'",
        ),
    ),
    "notify": (("does this route of the settings work?", "reconciler notify --test oncall"),),
    "check": (
        ("is all there that the daemon needs?", "reconciler check"),
        ("is it running?", "reconciler check --daemon"),
    ),
    "audit export": (
        ("into a file", "reconciler audit export --output-file audit.jsonl"),
        ("straight into a check", "reconciler audit export | reconciler audit verify -"),
    ),
    "audit verify": (
        ("from the file alone", "reconciler audit verify audit.jsonl"),
        (
            "and that nobody computed it anew, or cut its end",
            "reconciler audit verify audit.jsonl --key key.pub --anchor https://git.example.com/acme/anchors.git",
        ),
    ),
    "audit checkpoint": (("sign, and anchor, what there is now", "reconciler audit checkpoint"),),
    "demo up": (("begin the tour, in ./.demo", "reconciler demo up"),),
    "demo approve": (("let in what `reconciler promote` proposed", "reconciler demo approve promote/staging/run-102"),),
    "demo merge": (("bring run 102 to staging", "reconciler demo merge staging --run 102"),),
    "demo freeze": (("freeze, and end it", "reconciler demo freeze\nreconciler demo freeze --lift"),),
    "demo smuggle": (
        ("push past the review, and take it back", "reconciler demo smuggle\nreconciler demo smuggle --revert"),
    ),
    "demo tamper": (("alter an artifact, and restore it", "reconciler demo tamper\nreconciler demo tamper --restore"),),
    "demo drift": (("edit what is live by hand", "reconciler demo drift"),),
    "demo break": (("deploy what does not run", "reconciler demo break"),),
    "demo down": (("end the tour; nothing is left", "reconciler demo down"),),
    "completion": (
        ("bash, for good", "reconciler completion bash > ~/.local/share/bash-completion/completions/reconciler"),
        ("zsh, in ~/.zshrc behind compinit", "source <(reconciler completion zsh)"),
        ("fish", "reconciler completion fish > ~/.config/fish/completions/reconciler.fish"),
    ),
    "version": (("which one is this?", "reconciler version"),),
}


def of(path: str) -> str | None:
    """The examples of a command, a line each, with what they are for above; `path`: as it is typed."""
    lines: list[str] = []
    for what, typed in EXAMPLES.get(path, ()):
        lines += [
            *([""] if lines else []),
            f"# {what}",
            *(line if line.startswith(" ") else f"$ {line}" for line in typed.splitlines()),
        ]
    return "\n".join(lines) or None
