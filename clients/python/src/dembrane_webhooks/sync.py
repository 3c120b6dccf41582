"""The publisher for code without asyncio."""

import asyncio
import atexit
import concurrent.futures
import os
import threading
import weakref
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from .event import Event
from .faults import NotPublishedError
from .publisher import DEFAULT_PATIENCE_SECONDS, Acknowledgement, Message, Publisher

# How long a waiting thread goes without looking up: what Dramatiq raises in a thread
# whose time is over arrives then.
_LOOK_UP_SECONDS = 0.2
_CLOSE_SECONDS = 5.0

_T = TypeVar("_T")


class SyncPublisher:
    """Publishes events from any number of threads, over one connection that is kept.

    It connects when the first event is published. In a process that is forked it does
    so again, since a connection cannot be shared: one publisher may be made at import
    and used in every worker. It is closed by ``close``, and when the program ends.

    Args:
        servers: Addresses of NATS.
        patience: For how many seconds ``publish`` goes on trying.
        options: What ``nats.connect`` takes besides, such as ``user_credentials``.

    """

    def __init__(
        self, servers: str | Sequence[str], *, patience: float = DEFAULT_PATIENCE_SECONDS, **options: Any
    ) -> None:
        """See the class."""
        if patience <= 0:
            raise ValueError(f"the time to retry must be more than 0, not {patience}")
        self._servers = servers
        self._patience = patience
        self._options = options
        self._closed = False
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        _publishers.add(self)

    def publish(self, event: Event) -> Acknowledgement:
        """Do what ``Publisher.publish`` does, and wait for it."""
        message = Message.of(event)
        worker = self._started(message)
        return _wait(worker.submit(worker.publisher.store(message)))

    def close(self) -> None:
        """Close the connection. What other threads are publishing fails."""
        with self._lock:
            self._closed = True
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    def __enter__(self) -> Self:
        """Return the publisher."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the publisher."""
        self.close()

    def _started(self, message: Message) -> "_Worker":
        with self._lock:
            if self._closed:
                raise NotPublishedError(f"publish event {message.event_id}: the publisher is closed")
            if self._worker is None:
                self._worker = _Worker(Publisher(self._servers, patience=self._patience, **self._options))
            return self._worker

    def forget(self) -> None:
        """Begin anew in a process that was forked: the thread exists in the parent only.

        What belongs to the parent is kept from being cleaned up: its sockets and its
        selector are shared, and closing a loop changes them for the parent, too.
        """
        if self._worker is not None:
            _parents.append(self._worker)
        self._worker = None
        self._lock = threading.Lock()


class _Worker:
    """An event loop in a thread of its own."""

    def __init__(self, publisher: Publisher) -> None:
        self.publisher = publisher
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="dembrane-webhooks-publisher", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def submit(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def stop(self) -> None:
        try:
            self.submit(self._finish()).result(_CLOSE_SECONDS)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_CLOSE_SECONDS)

    async def _finish(self) -> None:
        await self.publisher.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _wait(future: concurrent.futures.Future[Acknowledgement]) -> Acknowledgement:
    try:
        while True:
            try:
                return future.result(_LOOK_UP_SECONDS)
            except concurrent.futures.CancelledError:
                raise NotPublishedError("the publisher was closed meanwhile") from None
            except TimeoutError:
                if future.done():
                    raise
    finally:
        future.cancel()  # for a thread that was told to stop


_publishers: "weakref.WeakSet[SyncPublisher]" = weakref.WeakSet()
_parents: list[_Worker] = []


def _forget_all() -> None:
    for publisher in list(_publishers):
        publisher.forget()


def _close_all() -> None:
    for publisher in list(_publishers):
        publisher.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
atexit.register(_close_all)
