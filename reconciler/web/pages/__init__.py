"""The web pages, for people: what `views` worked out, as HTML.

`routes` answers requests, `showing` has one function for each page, `rendering` fills in templates, `words` has what
every page says alike, `plots` lays out figures, and `assets` holds styles and scripts. Pages change nothing, and work
without scripts; with them they follow the daemon live.

Much of what is shown was written by strangers. Templates escape every value, and `rendering` spells out whatever hides
or turns text around, before it is escaped; no page holds a script or a style of its own.
"""

from reconciler.web.pages.routes import add_pages, problem_page

__all__ = ["add_pages", "problem_page"]
