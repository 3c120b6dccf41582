import asyncio
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
import pytest
from conftest import Receiver, System, free_port, standalone
from nats.aio.client import Client

from dembrane_webhooks import (
    Event,
    EventTooLargeError,
    InvalidEventError,
    NotPublishedError,
    Publisher,
)
from dembrane_webhooks.event import MAX_EVENT_BYTES, encode


def test_a_published_event_is_delivered(
    system: System, receiver: Receiver, event: Callable[..., Event]
) -> None:
    async def publish() -> None:
        async with Publisher(system.nats) as publisher:
            sent = event(receiver.project)
            first = await publisher.publish(sent)
            again = await publisher.publish(sent)
            assert (first.stream, first.duplicate) == ("EVENTS", False)
            assert (again.sequence, again.duplicate) == (first.sequence, True)
            many = await asyncio.gather(*(publisher.publish(event(receiver.project)) for _ in range(50)))
            assert len({stored.sequence for stored in many}) == 50

    asyncio.run(publish())
    assert len({receiver.next()["id"] for _ in range(51)}) == 51
    assert receiver.bodies.empty()


def test_what_cannot_be_delivered_is_not_sent(system: System, event: Callable[..., Event]) -> None:
    async def publish() -> None:
        connection = await nats.connect(system.nats)
        publisher = Publisher(connection)
        with pytest.raises(InvalidEventError):
            await publisher.publish(event(id="a.b"))
        with pytest.raises(EventTooLargeError):
            await publisher.publish(event(conversation={"id": "c1", "transcript": "x" * MAX_EVENT_BYTES}))
        assert connection.stats["out_msgs"] == 0
        await publisher.close()
        assert connection.is_connected, "a connection that was given stays open"
        await connection.close()

    asyncio.run(publish())


def test_the_largest_event(system: System, receiver: Receiver, event: Callable[..., Event]) -> None:
    empty = event(
        receiver.project, type="conversation.transcribed", conversation={"id": "c1", "transcript": ""}
    )
    room = MAX_EVENT_BYTES - len(encode(empty))
    assert empty["conversation"] is not None
    empty["conversation"]["transcript"] = "x" * room

    async def publish() -> None:
        async with Publisher(system.nats) as publisher:
            await publisher.publish(empty)

    asyncio.run(publish())
    assert len(receiver.next()["conversation"]["transcript"]) == room


def test_it_waits_for_a_server(tmp_path: Path, event: Callable[..., Event]) -> None:
    """The server comes late, goes away, and comes back."""
    port = free_port()
    ready, again, stop = threading.Event(), threading.Event(), threading.Event()

    def serve() -> None:
        with standalone(tmp_path, port):
            ready.wait()
        with standalone(tmp_path, port):
            again.set()
            stop.wait()

    server = threading.Thread(target=serve)

    async def publish() -> None:
        async with Publisher(f"nats://127.0.0.1:{port}") as publisher:
            early = asyncio.create_task(publisher.publish(event()))
            await asyncio.sleep(0)
            server.start()
            assert (await early).sequence == 1
            ready.set()
            kept = event()
            while not again.is_set():
                await publisher.publish(kept)
            assert (await publisher.publish(kept)).duplicate

    try:
        asyncio.run(publish())
    finally:
        ready.set()
        stop.set()
        server.join()


def test_patience_ends(event: Callable[..., Event], caplog: pytest.LogCaptureFixture) -> None:
    async def publish() -> None:
        publisher = Publisher(f"nats://127.0.0.1:{free_port()}", patience=0.8)
        start = time.monotonic()
        with pytest.raises(NotPublishedError, match=r"gave up after 0\.8 s: nats cannot be reached"):
            await publisher.publish(event())
        assert time.monotonic() - start < 2
        await publisher.close()
        with pytest.raises(NotPublishedError, match="the publisher is closed"):
            await publisher.publish(event())

    asyncio.run(publish())
    assert len(caplog.messages) == 1, "the log says once why, however often it is tried"
    with pytest.raises(ValueError, match="more than 0"):
        Publisher("nats://127.0.0.1", patience=0)


def test_a_closed_connection_is_said(system: System, event: Callable[..., Event]) -> None:
    async def publish() -> None:
        connection = await nats.connect(system.nats)
        publisher = Publisher(connection)
        await connection.drain()
        with pytest.raises(NotPublishedError, match="open a new one"):
            await publisher.publish(event())

    asyncio.run(publish())


class Refusing(Client):
    """A connection on which every publish is answered by an error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tries = 0

    @property
    def is_connected(self) -> bool:
        return True  # it is never asked to connect

    @property
    def max_payload(self) -> int:
        return 1 << 30

    async def request(self, *_: Any, **__: Any) -> Any:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "match", "tried_again"),
    [
        (nats.errors.NoRespondersError(), "create the stream EVENTS", True),
        (nats.errors.TimeoutError(), "may publish to dembrane.events.p1.conversation.started", True),
        (nats.js.errors.APIError(code=503, err_code=10077, description="full"), "EVENTS_MAX_BYTES", True),
        (nats.js.errors.APIError(code=503, err_code=10008, description="no leader"), "no leader", True),
        (nats.js.errors.APIError(code=409, err_code=1, description="busy"), "busy", True),
        (
            nats.js.errors.APIError(code=400, err_code=10054, description="large"),
            "raise its max_msg_size",
            False,
        ),
        (
            nats.js.errors.APIError(code=400, err_code=10060, description="wrong stream"),
            "check the configuration",
            False,
        ),
        (nats.errors.MaxPayloadError(), "raise its max_payload", False),
    ],
)
def test_refusals(error: Exception, match: str, tried_again: bool, event: Callable[..., Event]) -> None:
    async def publish() -> None:
        connection = Refusing(error)
        with pytest.raises((NotPublishedError, EventTooLargeError), match=match):
            await Publisher(connection, patience=0.3).publish(event())
        assert (connection.tries > 1) == tried_again

    asyncio.run(publish())


def test_a_smaller_server_is_said(event: Callable[..., Event]) -> None:
    class Small(Refusing):
        @property
        def max_payload(self) -> int:
            return 200

    connection = Small(AssertionError("nothing is sent"))
    with pytest.raises(EventTooLargeError, match=r"takes 200; raise its max_payload to 8454144"):
        asyncio.run(Publisher(connection).publish(event(id="evt_" + uuid.uuid4().hex)))
