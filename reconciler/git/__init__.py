"""Declarations out of Git: a disposable mirror of the tracked branch, read by the git command line.

`remote` says what may be read from, `command` runs git within its bounds, `processes` ends it, `local` keeps the
mirror on disk, `objects` reads what git prints, `ancestry` answers who descends from whom, `beyond` brings what the
branch does not hold, and `mirror` puts them together as the port `Repository`. Nothing is ever checked out; nothing
here judges.
"""

from reconciler.git.mirror import Mirror
from reconciler.git.processes import kill_all

__all__ = ["Mirror", "kill_all"]
