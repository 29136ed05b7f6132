"""The documentation's site: tables that come from the code, pages that are put together, a build that is checked.

`python -m tools.docsite write` brings the tables in `docs/` up to date; `make docs` builds `build/docs/site`.
Descriptions live in the code, explanations in the pages. A table stands between two comments of its page, so that
it can be read in the checkout as well; what would be too long there is put in only when the site is built.
"""
