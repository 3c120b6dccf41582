"""The publisher for asyncio."""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import nats.errors
import nats.js.errors
from nats.aio.client import Client

from .event import MAX_EVENT_BYTES, Event, encode
from .faults import EventTooLargeError, NotPublishedError, PublishError

_log = logging.getLogger("dembrane_webhooks")

STREAM = "EVENTS"
DEFAULT_PATIENCE_SECONDS = 30.0

_FIRST_PAUSE_SECONDS = 0.05
_MAX_PAUSE_SECONDS = 5.0
_PAUSE_GROWTH = 1.5

# The same trouble with a connection is logged once in this time.
_NOTED_AGAIN_AFTER_SECONDS = 60.0

# A server that went away never acknowledges, so the first wait is short; a large event
# over a slow line needs long, so every try waits twice as long as the one before.
_FIRST_ACK_WAIT_SECONDS = 2.0
_MAX_ACK_WAIT_SECONDS = 60.0

# What headers may add to the largest event; the services ask nats-server for as much.
_HEADER_ALLOWANCE_BYTES = 64 << 10

_MESSAGE_EXCEEDS_MAXIMUM = 10054
_STORE_FAILED = 10077


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Where the event is stored. ``duplicate`` says that it was there already."""

    stream: str
    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent of an event."""

    event_id: str
    subject: str
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def of(cls, event: Event) -> Self:
        """Render an event, or say why it cannot be published."""
        body = encode(event)
        headers = {"Nats-Msg-Id": event["id"], "Content-Type": "application/json"}
        return cls(event["id"], f"dembrane.events.{event['project']['id']}.{event['type']}", headers, body)

    @property
    def size(self) -> int:
        """How large the server finds it, headers included."""
        headers = sum(len(f"{name}: {value}\r\n") for name, value in self.headers.items())
        return len("NATS/1.0\r\n") + headers + len("\r\n") + len(self.body)


class Publisher:
    """Publishes events. It belongs to one event loop, and any number of its tasks may use it.

    Args:
        nats: Addresses of NATS, or a connection. Addresses are connected to when the
            first event is published, and the connection is kept until ``close``. A
            connection that you pass stays yours to close; let it reconnect for ever
            (``max_reconnect_attempts=-1``).
        patience: For how many seconds ``publish`` goes on trying.
        options: What ``nats.connect`` takes besides, such as ``user_credentials``.

    """

    def __init__(
        self,
        nats: Client | str | Sequence[str],
        *,
        patience: float = DEFAULT_PATIENCE_SECONDS,
        **options: Any,
    ) -> None:
        """See the class."""
        if patience <= 0:
            raise ValueError(f"the time to retry must be more than 0, not {patience}")
        self._given = nats if isinstance(nats, Client) else None
        self._connection = self._given
        self._servers = [nats] if isinstance(nats, str) else [] if isinstance(nats, Client) else list(nats)
        self._options = options
        self._patience = patience
        self._opening: asyncio.Task[Client] | None = None
        self._closed = False

    async def publish(self, event: Event) -> Acknowledgement:
        """Store the event, and return once JetStream has acknowledged it.

        That it was stored already is success, too. An event that breaks a rule or is too
        large is refused before anything is sent (``InvalidEventError``,
        ``EventTooLargeError``). Whatever may pass is tried again for as long as the
        publisher has patience: a server that cannot be reached or does not answer, a
        stream that does not exist yet, one that is full. Then it raises
        ``NotPublishedError`` from the last refusal.
        """
        return await self.store(Message.of(event))

    async def store(self, message: Message) -> Acknowledgement:
        """Publish what was rendered until it is acknowledged."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        pause, ack_wait = _FIRST_PAUSE_SECONDS, _FIRST_ACK_WAIT_SECONDS
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._try(message, ack_wait)
            except _TemporaryError as refusal:
                last = refusal
            except TimeoutError:
                last = _TemporaryError("nats cannot be reached: check its address and credentials")
            if loop.time() + pause >= deadline:
                raise NotPublishedError(
                    f"publish event {message.event_id}: gave up after {self._patience:g} s: {last}"
                ) from (last.__cause__ or last)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * _PAUSE_GROWTH, _MAX_PAUSE_SECONDS)
            ack_wait = min(ack_wait * 2, _MAX_ACK_WAIT_SECONDS)

    async def close(self) -> None:
        """Close the connection, unless it was given. What is being published fails."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._connection is not None and self._given is None:
            await self._connection.close()
            self._connection = None

    async def __aenter__(self) -> Self:
        """Return the publisher."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the publisher."""
        await self.close()

    async def _try(self, message: Message, ack_wait: float) -> Acknowledgement:
        connection = await self._connected(message)
        if connection.is_reconnecting or connection.is_connecting:
            raise _TemporaryError("nats cannot be reached at the moment: check the servers")
        if message.size > connection.max_payload:
            raise _too_large_for_server(message, connection.max_payload)
        try:
            stored = await connection.jetstream().publish(
                message.subject, message.body, timeout=ack_wait, headers=dict(message.headers)
            )
        except (nats.errors.Error, OSError) as refusal:
            if connection.is_closed and self._given is None:
                raise _TemporaryError("the connection was closed, another will be made") from refusal
            raise _judged(refusal, message, connection) from refusal
        return Acknowledgement(stored.stream, stored.seq, bool(stored.duplicate))

    async def _connected(self, message: Message) -> Client:
        """Return the one connection. The first who needs it begins to make it."""
        if self._closed:
            raise NotPublishedError(f"publish event {message.event_id}: the publisher is closed")
        if self._given is not None:
            return self._given
        if self._connection is None or self._connection.is_closed:
            if self._opening is None or self._opening.done():
                self._opening = asyncio.create_task(self._open())
            # It goes on for the next when this one has no more patience.
            return await asyncio.shield(self._opening)
        return self._connection

    async def _open(self) -> Client:
        connection = Client()
        try:
            await connection.connect(**self._settings())
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return connection

    def _settings(self) -> dict[str, Any]:
        return {
            "servers": self._servers,
            "name": "dembrane-webhooks-publisher",
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.25,
            "error_cb": _Notes().note,
            **self._options,
        }


class _TemporaryError(Exception):
    """A refusal that may pass."""


class _Notes:
    """The log of what goes wrong with a connection, which is tried again four times a second."""

    def __init__(self) -> None:
        self._noted: dict[str, float] = {}

    async def note(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        self._noted = {old: at for old, at in self._noted.items() if now - at < _NOTED_AGAIN_AFTER_SECONDS}
        if text not in self._noted:
            self._noted[text] = now
            _log.warning("nats: %s", text)


def _judged(refusal: Exception, message: Message, connection: Client) -> Exception:
    """Say what a failed try means, and whether another may succeed."""
    match refusal:
        case nats.errors.ConnectionClosedError() | nats.errors.ConnectionDrainingError():
            return NotPublishedError(
                f"publish event {message.event_id}: the connection is closed: "
                "open a new one and publish the event again"
            )
        case nats.errors.MaxPayloadError():
            return _too_large_for_server(message, connection.max_payload)
        case nats.js.errors.NoStreamResponseError():
            return _TemporaryError(
                f"no stream takes {message.subject}: create the stream {STREAM} by starting the services "
                "once, and check that JetStream is on"
            )
        case nats.js.errors.APIError():
            return _judged_answer(refusal, message)
        case nats.errors.TimeoutError() if connection.is_connected:
            return _TemporaryError(
                f"no acknowledgement: check that these credentials may publish to {message.subject}"
            )
        case _:
            return _TemporaryError(f"nats cannot be reached: {type(refusal).__name__}: check the servers")


def _judged_answer(refusal: nats.js.errors.APIError, message: Message) -> Exception:
    """Judge what JetStream itself answered. What it calls temporary is tried again."""
    what = f"{refusal.description} (code {refusal.err_code})"
    if refusal.err_code == _MESSAGE_EXCEEDS_MAXIMUM:
        return EventTooLargeError(
            f"event is too large: the stream {STREAM} has a smaller limit of its own: "
            f"raise its max_msg_size: {what}"
        )
    if refusal.err_code == _STORE_FAILED:
        return _TemporaryError(
            f"the stream {STREAM} cannot store it: raise EVENTS_MAX_BYTES or free disk space: {what}"
        )
    if refusal.code is not None and 400 <= refusal.code < 500 and refusal.code != 409:
        return NotPublishedError(
            f"publish event {message.event_id}: check the configuration of the stream {STREAM}: {what}"
        )
    return _TemporaryError(what)


def _too_large_for_server(message: Message, limit: int) -> PublishError:
    return EventTooLargeError(
        f"event is too large: it is {message.size} bytes with its headers and the nats-server takes {limit}; "
        f"raise its max_payload to {MAX_EVENT_BYTES + _HEADER_ALLOWANCE_BYTES}"
    )
