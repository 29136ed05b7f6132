"""Downloads, which GitHub keeps elsewhere: a redirect with a signed address, asked without our credential.

Where GitHub keeps artifacts is told in its "Communicating with self-hosted runners"; for GitHub Enterprise Server it is
the operator's own storage. Nothing secret of ours goes there, and what comes from there is judged by its digest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from reconciler.bounds import Bounds
from reconciler.github.options import GITHUB_COM, GitHubOptions
from reconciler.net import Answer, Body, Reach, Unavailable, Web, origin, range_end, shown
from reconciler.ports import ArtifactStream, Clock

STORAGE_OF_GITHUB_COM = ("*.blob.core.windows.net", "*.actions.githubusercontent.com")
"""Hosts 'needed for uploading/downloading … workflow artifacts'."""


class Storage:
    """The hosts that downloads may come from.

    Args:
        options: For the address of GitHub, and how to get out.
        hosts: `host`, `host:port` or `*.domain` beside those of github.com.
        clock: For the deadlines.
        bounds: Seconds.
        unavailable: How a fault is told.

    Raises:
        ValueError: One of the hosts is none.
    """

    def __init__(
        self, options: GitHubOptions, hosts: Iterable[str], clock: Clock, bounds: Bounds, unavailable: Unavailable
    ) -> None:
        named = list(hosts)
        if origin(options.url) == origin(GITHUB_COM):
            named += STORAGE_OF_GITHUB_COM
        many = [host for host in named if "*" in host]
        exact = [host for host in named if host not in many]
        self._reach = Reach(options.url, exact, unavailable, many=many, option="storage_hosts")
        verify = str(options.ca_file) if options.ca_file else True
        self._web = Web(self._reach, None, clock, bounds, verify, options.proxy, unavailable)
        self._seconds = bounds.fetch_seconds
        self._unavailable = unavailable

    @contextmanager
    def open(self, signed: Callable[[], str], headers: dict[str, str], offset: int) -> Iterator[ArtifactStream]:
        """Bytes from `offset` on when the storage can resume, else from 0.

        Args:
            signed: Gets the address that GitHub signed; called anew for each request, as it may be good for one.
            headers: To be sent, no credential among them.
            offset: Where to begin.

        Raises:
            Transient: The storage can't be reached, is not allowed, or answers with something else.
        """
        with ExitStack() as stack:
            answer = stack.enter_context(self._ask(signed(), headers, offset))
            if offset and answer.status == 416:  # what we hold is as long as the file or longer: begin anew
                stack.pop_all().close()
                offset = 0
                answer = stack.enter_context(self._ask(signed(), headers, offset))
            yield self._opened(answer, offset)

    def follow(self, current: str, location: str | None) -> str:
        """The address that GitHub redirects a download to.

        Raises:
            Transient: Nothing may be fetched from there.
        """
        return self._reach.follow(current, location)

    def _ask(self, url: str, headers: dict[str, str], offset: int) -> AbstractContextManager[Answer]:
        ranged = {**headers, "Range": f"bytes={offset}-"} if offset else headers
        return self._web.get(url, ranged, self._seconds)

    def _opened(self, answer: Answer, offset: int) -> ArtifactStream:
        if answer.status not in ((200, 206) if offset else (200,)):
            raise self._unavailable(
                f"{shown(answer.url)}, where GitHub has the file, answers {answer.status}",
                "nothing to do if it happens once: it is tried again; if it stays, check the way to the storage",
            )
        if answer.media_type == "text/html":
            raise self._unavailable(
                f"{shown(answer.url)} answers with an HTML page instead of the file",
                "look for a proxy on the way that answers in the storage's place",
            )
        if answer.status == 200:
            return Body(0, answer.length, answer, self._unavailable)
        return Body(offset, range_end(answer, offset, self._unavailable), answer, self._unavailable)
