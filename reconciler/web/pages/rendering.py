"""A value in, a page out. Every value that a template prints passes `_shown` and is escaped; there is no other way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from reconciler import reasonpages
from reconciler.core.readable import moment, size
from reconciler.errors import Reason
from reconciler.views.states import State
from reconciler.web.pages import plots, words
from reconciler.web.pages.assets import Asset

FOLDER = Path(__file__).parent.parent / "templates"
_ICON = {state: Markup('<svg class="i" aria-hidden="true"><use href="#{}"/></svg>').format(state) for state in State}
_DIGEST_SHOWN = 12
_HEX = re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{40})\b")


class Renderer:
    """Holds the templates, each compiled once, when it is first needed. Safe from several threads."""

    def __init__(self, assets: Mapping[str, Asset], root: str = "") -> None:
        """Templates that link below `root`, the path of the public address; empty: they are at the top."""
        self._environment = _environment(assets, root)

    def render(self, template: str, now: datetime, **values: object) -> str:
        """The page that `template` makes of the values, as seen at `now`."""
        return self._environment.get_template(template).render(now=now, **values)


def _environment(assets: Mapping[str, Asset], root: str) -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        quoted=partial(quote, safe="/"),
        size=size,
        span=words.span,
        took=words.took,
        percent=words.percent,
        web=words.web_address,
        printed=_printed,
        said=_said,
        icon=_icon,
        moment=moment,
        digest=_digest,
    )
    made.globals.update(
        asset=lambda name: f"{root}/static/{assets[name].name}",
        root=root,
        when=_when,
        tone=words.tone,
        link=partial(_link, root),
        states=words.STATES,
        worst_first=words.WORST_FIRST,
        change_of_size=words.change_of_size,
        sparkline=plots.sparkline,
        known_reasons=frozenset(Reason),
        spans=reasonpages.spans,
    )
    return made


def _shown(value: object) -> object:
    """What is printed of a value; markup of our own is left as it is."""
    return words.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _printed(text: str) -> Markup:
    """Lines of a program, escaped, with their line breaks."""
    return Markup("\n").join(Markup("{}").format(line) for line in words.printed(text).split("\n"))


def _said(text: str) -> Markup:
    """A message, kept apart from what turns around it; what stands between backticks is to be typed.

    A digest or commit within it is shown as its first digits, and copied in full.
    """
    pieces = [_shortened(piece) for piece in words.clean(text).split("`")]
    if len(pieces) % 2 == 0:
        return Markup("<bdi>{}</bdi>").format(Markup("`").join(pieces))
    forms = (Markup("{}"), Markup("<code>{}</code>"))
    return Markup("<bdi>{}</bdi>").format(Markup().join(forms[n % 2].format(piece) for n, piece in enumerate(pieces)))


def _shortened(text: str) -> Markup:
    parts = _HEX.split(text)
    form = Markup('<code class="d">{}<span>{}</span></code>')
    return Markup().join(
        form.format(part[:_DIGEST_SHOWN], part[_DIGEST_SHOWN:]) if n % 2 else Markup("{}").format(part)
        for n, part in enumerate(parts)
    )


def _icon(word: str) -> Markup:
    return _ICON[words.tone(word)]


def _digest(digest: str | None) -> Markup:
    """The first digits of a digest or commit; all of it is copied. Empty for none."""
    if not digest:
        return Markup()
    clean = words.clean(digest)
    return Markup(
        '<span class="d"><code>{}<span aria-hidden="true">{}</span></code>'
        '<button class="c" type="button" aria-label="Copy {} in full"></button></span>'
    ).format(clean[:_DIGEST_SHOWN], clean[_DIGEST_SHOWN:], clean[:_DIGEST_SHOWN])


@pass_context
def _when(context: Context, at: datetime | None, bare: bool = False) -> Markup:
    """An instant, relative to now, with the absolute one behind it; `bare`: how long it lasts, without `ago`."""
    if at is None:
        return Markup("-")
    said = words.relative(at, context["now"])
    if bare:
        said = said.removesuffix(" ago").removeprefix("in ").replace("now", "0 s")
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"), moment(at), Markup(" data-bare") if bare else "", said
    )


def _link(root: str, path: str, **query: object) -> str:
    """A page of ours, with what is asked of it; empty answers are left out."""
    asked = urlencode({name: value for name, value in query.items() if value not in (None, "", 0)})
    return f"{root}{quote(path, safe='/')}{'?' if asked else ''}{asked}"
