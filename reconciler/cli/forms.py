"""One answer in each form that can be asked for: a table, JSON, YAML, or names alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from reconciler.cli import render
from reconciler.cli.options import Output
from reconciler.documents import Document


def answer(output: Output, document: Callable[[], Document], names: Iterable[str], table: Callable[[], object]) -> None:
    """Print one answer as it was asked for."""
    match output:
        case Output.JSON:
            render.raw(json.dumps(document(), indent=2))
        case Output.YAML:
            import yaml

            dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # in C: thousands of environments take it a second
            render.raw(yaml.dump(document(), Dumper=dumper, sort_keys=False))
        case Output.NAME:
            for name in names:
                render.say(name)
        case _:
            table()
