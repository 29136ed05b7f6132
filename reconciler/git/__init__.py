"""Declarations out of Git: a disposable mirror of the tracked branch, read by the git command line.

`remote` says what may be read from, `command` runs git within its bounds, `processes` ends it, `local` keeps the
mirror on disk, `reader` reads objects through processes that stay, `objects` reads what git prints, `nodes` and `trees`
answer from commits and trees what is near, `history` and `ancestry` ask git where it is far, `beyond` brings what the
branch does not hold, and `mirror` puts them together as the port `Repository`. Nothing is ever checked out; nothing
here judges.
"""

from reconciler.git.mirror import Mirror
from reconciler.git.processes import kill_all

__all__ = ["Mirror", "kill_all"]
