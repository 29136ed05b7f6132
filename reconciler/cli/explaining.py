"""`explain`: what a reason means, from its page in docs/reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli.exits import ExitCode, Stop
from reconciler.cli.options import Output, OutputOption

if TYPE_CHECKING:
    from reconciler.cli.render import Cell, Page
    from reconciler.reasonpages import Block, ReasonPage, Span


def known_reasons(incomplete: str) -> list[str]:
    """For completion in a shell."""
    from reconciler.errors import Reason

    return [reason.value for reason in Reason if reason.startswith(incomplete)]


def explain(
    reason: Annotated[
        str | None,
        typer.Argument(metavar="REASON", help="The code; all of them when left out.", autocompletion=known_reasons),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Tell what a reason means, what stays live, and what to do.

    Every hold, refusal and failure carries such a code. Without one: all of them, in the order of the gates.
    """
    from reconciler import reasonpages

    if reason is None:
        _list(output)
        return
    found = reasonpages.find(reason)
    if found is None:
        raise _unknown(reason)
    _tell(reasonpages.page(found), output)


def _unknown(name: str) -> Stop:
    from reconciler import reasonpages

    close = reasonpages.closest(name)
    hint = f"did you mean {' or '.join(close)}?" if close else "`reconciler explain` lists all"
    return Stop(ExitCode.USAGE, f"there is no reason {name[:80]!r}", hint)


def _list(output: Output) -> None:
    from reconciler import documents, reasonpages
    from reconciler.cli import forms
    from reconciler.cli.render import columns

    pages = tuple(reasonpages.pages())
    items = [{"code": page.reason.value, "givenBy": page.given_by, "summary": page.summary} for page in pages]
    forms.answer(
        output,
        lambda: documents.kind("ReasonList", {"items": items}),
        [page.reason for page in pages],
        lambda: columns(
            ("REASON", "GIVEN BY", "MEANS"),
            [(page.reason, page.given_by, _unmarked(page.summary)) for page in pages],
            cut=True,
            spare=("GIVEN BY",),
        ),
    )


def _tell(page: ReasonPage, output: Output) -> None:
    from reconciler import documents
    from reconciler.cli import forms

    body = {
        "code": page.reason.value,
        "givenBy": page.given_by,
        "summary": page.summary,
        "sections": [{"title": section.title, "text": section.text} for section in page.sections],
        "related": [reason.value for reason in page.related],
    }
    forms.answer(output, lambda: documents.kind("Reason", body), [page.reason], lambda: _show(page))


def _show(page: ReasonPage) -> None:
    from reconciler.cli.render import Cell, Page

    paper = Page()
    paper.line(Cell(page.reason, "head"), Cell(f", given by {page.given_by}", "dim"))
    paper.line()
    paper.line(*_cells(page.summary))
    for section in page.sections:
        paper.line()
        paper.line(Cell(section.title, "head"))
        for n, block in enumerate(section.blocks):
            if n:
                paper.line()
            _show_block(paper, block)


def _show_block(paper: Page, block: Block) -> None:
    from reconciler.reasonpages import Kind

    match block.kind:
        case Kind.CODE:
            for line in block.items:
                paper.line(line, indent=4)
        case Kind.LIST:
            paper.points([_cells(item) for item in block.items], indent=2)
        case Kind.PARAGRAPH:
            paper.line(*_cells(block.items[0]), indent=2)


def _cells(line: str) -> list[Cell]:
    from reconciler.cli.render import Cell, coloured
    from reconciler.reasonpages import spans

    return [Cell(_shown(span, coloured()), "head" if span.code else "") for span in spans(line)]


def _shown(span: Span, colours: bool) -> str:
    """Code in its marks where nothing else sets it apart; a page elsewhere in the docs with its place."""
    if span.code:
        return span.text if colours else f"`{span.text}`"
    return f"{span.text} (docs/{span.link.removeprefix('../')})" if span.link.startswith("../") else span.text


def _unmarked(line: str) -> str:
    from reconciler.reasonpages import spans

    return "".join(span.text for span in spans(line))
