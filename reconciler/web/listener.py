"""The socket, and the thread that serves it. Bound when it is made, so that a port in use is told at once."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from reconciler.errors import Reason, Terminal
from reconciler.web.access import neighbours

HEAD_SECONDS = 10.0
"""Deadline for the head of a request: one that never comes keeps its connection no longer."""
HEAD_BYTES = 16 * 1024
CONNECTIONS = 256
"""Open connections at most; further ones are closed before a byte is read."""
NEIGHBOURS = 224
"""Of these, from one address: whoever takes them all leaves some to probes and webhooks from elsewhere."""
STOP_SECONDS = 2
"""For which a stop waits for answers under way."""
SLOW_SECONDS = 20.0
"""For which a client may leave 64 KiB of its answer untaken: memory is not kept for who does not read."""


class Listener:
    """Serves an application from entering to leaving."""

    def __init__(self, address: str, app: FastAPI, stopping: Callable[[], None] = lambda: None) -> None:
        """Bind; nothing is answered yet.

        Args:
            address: `host:port`, `[::1]:8080`; port 0 takes any that is free.
            app: What answers.
            stopping: Called when it is to end: what goes on for as long as it is listened to ends then.

        Raises:
            Terminal: `InvalidSettings`: the address can't be had.
        """
        self._socket = bound(address)
        self._stopping = stopping
        host, port = self._socket.getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        config = uvicorn.Config(
            app,
            http=_Patient,
            ws="none",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            server_header=False,
            proxy_headers=False,
            access_log=False,
            log_config=None,
            log_level=logging.CRITICAL + 1,  # it would log what strangers send; what matters is told by ourselves
            timeout_keep_alive=5,
            timeout_graceful_shutdown=STOP_SECONDS,
            h11_max_incomplete_event_size=HEAD_BYTES,
        )
        self._server = _Calm(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="web", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping()
        self._server.end()
        self._thread.join(2 * STOP_SECONDS)
        self._socket.close()


def bound(address: str) -> socket.socket:
    """The address, ours as long as the socket is open.

    Raises:
        Terminal: `InvalidSettings`: it can't be had.
    """
    host, _, port = address.rpartition(":")
    host, number = host.removeprefix("[").removesuffix("]"), int(port)
    if number > 65_535:
        raise _denied(address, "there is no such port")
    try:
        family = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        both = host == "::" and socket.has_dualstack_ipv6()
        found = socket.create_server((host, number), family=family, dualstack_ipv6=both)
    except socket.gaierror as error:
        raise _denied(address, error.strerror or "no such host") from None
    except OSError as error:
        raise _denied(address, os.strerror(error.errno or 0)) from None
    # What connects has it from here: else the body of an answer waits 40 ms for a word on its head (Nagle's algorithm).
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def _denied(address: str, told: str) -> Terminal:
    hint = "give an address of this machine and a port that is free and may be used, such as 127.0.0.1:8080"
    return Terminal(Reason.INVALID_SETTINGS, f"web.listen: {address} can't be had: {told}", hint)


class _Calm(uvicorn.Server):
    """Looks after itself once a second, in place of ten times, and ends at once all the same."""

    _loop: asyncio.AbstractEventLoop | None = None
    _ended: asyncio.Event

    async def main_loop(self) -> None:
        """Keep the date of answers current until told to end."""
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ended.wait()

    def end(self) -> None:
        """From any thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ended.set)


class _Patient(H11Protocol):
    """Speaks HTTP/1.1, and waits for the head of a request only so long."""

    _late: asyncio.TimerHandle | None = None
    _slow: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and expect a head."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS or self._crowd() > NEIGHBOURS:
            transport.abort()
            return
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Take some bytes; of a head, or of a body, which has a deadline of its own."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._came()
        elif self._late is None:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._came()
        self._taken()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take what is sent: it has a while to go on."""
        super().pause_writing()
        self._taken()
        self._slow = self.loop.call_later(SLOW_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It took some of it."""
        self._taken()
        super().resume_writing()

    def _crowd(self) -> int:
        """Connections from the address of this one, and it."""
        ours = neighbours(self.client[0]) if self.client else ""
        others = (one.client for one in self.connections if isinstance(one, H11Protocol))
        return sum(neighbours(one[0]) == ours for one in others if one)

    def _expect(self) -> None:
        self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _taken(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
