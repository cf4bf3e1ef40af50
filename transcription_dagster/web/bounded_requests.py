"""Limits on requests that arrive slowly or whose head never ends; uvicorn has none with its parser httptools.

Without them, anyone who reaches the port can hold connections and fill the server's memory, without the password. The
times are the defaults of Apache's mod_reqtimeout (https://httpd.apache.org/docs/2.4/mod/mod_reqtimeout.html).
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_REFUSAL = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class BoundedRequests(HttpToolsProtocol):
    """A connection whose requests must arrive in time. The application sees a late one as a disconnected client."""

    #: Time for the head of a request, and time for its body in addition to `bytes_per_second`.
    patience_seconds = 20.0
    bytes_per_second = 500.0
    #: Bytes of the request line and the headers together, or of the trailers.
    largest_head = 65_536

    _timer: asyncio.TimerHandle | None = None
    _in_head = True
    #: When the head or the body began, on the loop's clock.
    _began = 0.0
    #: Bytes of the body so far.
    _body = 0
    #: Bytes since the last that belonged to a body.
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes; refuse a head that is too large."""
        self._head += len(data)
        super().data_received(data)
        if self._head > self.largest_head and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._in_head = True
        self._wait()

    def on_headers_complete(self) -> None:
        """Begin a body."""
        self._in_head = False
        self._wait()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._head = 0
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request: the response may take as long as it needs."""
        self._stop_waiting()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over."""
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def _wait(self) -> None:
        self._stop_waiting()
        self._head = self._body = 0
        self._began = self.loop.time()
        self._timer = self.loop.call_later(self.patience_seconds, self._check)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        due = self._began + self.patience_seconds + self._body / self.bytes_per_second
        if self._is_answering():
            due = self.loop.time() + self.patience_seconds
        if due > self.loop.time():
            self._timer = self.loop.call_at(due, self._check)
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        """Return whether the client waits for the application: to read the body, or to answer an earlier request."""
        is_busy = self._in_head and self.cycle is not None and not self.cycle.response_complete
        return is_busy or self.flow.read_paused
