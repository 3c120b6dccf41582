import ctypes
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import dramatiq
import nats.aio.client
import pytest
from conftest import Receiver, System, an_event, free_port
from dramatiq.brokers.stub import StubBroker

from dembrane_webhooks import Event, InvalidEventError, NotPublishedError, SyncPublisher


def threads() -> int:
    return sum(thread.name == "dembrane-webhooks-publisher" for thread in threading.enumerate())


def test_many_threads_use_one_connection(
    system: System, receiver: Receiver, event: Callable[..., Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = []
    connect = nats.aio.client.Client.connect

    async def counted(self: nats.aio.client.Client, **options: object) -> None:
        connected.append(1)
        await connect(self, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(nats.aio.client.Client, "connect", counted)
    with SyncPublisher(system.nats) as publisher, ThreadPoolExecutor(20) as pool:
        assert threads() == 0, "nothing is started before it is needed"
        stored = list(pool.map(lambda _: publisher.publish(event(receiver.project)), range(100)))
        with pytest.raises(InvalidEventError):
            publisher.publish(event(id=""))
    assert len({one.sequence for one in stored}) == 100
    assert len(connected) == 1
    assert threads() == 0, "closed"
    publisher.close()
    with pytest.raises(NotPublishedError, match="the publisher is closed"):
        publisher.publish(event())
    assert len({receiver.next()["id"] for _ in range(100)}) == 100


def test_closing_ends_what_waits(event: Callable[..., Event]) -> None:
    publisher = SyncPublisher(f"nats://127.0.0.1:{free_port()}")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(publisher.publish, event())
        while threads() == 0:
            time.sleep(0.01)
        publisher.close()
        with pytest.raises(NotPublishedError):
            waiting.result(10)


def test_a_thread_that_is_told_to_stop_stops(event: Callable[..., Event]) -> None:
    """As Dramatiq tells one whose time is over."""

    class TimeIsOver(BaseException):
        pass

    publisher = SyncPublisher(f"nats://127.0.0.1:{free_port()}")
    stopped = threading.Event()

    def publish() -> None:
        try:
            publisher.publish(event())
        except TimeIsOver:
            stopped.set()

    worker = threading.Thread(target=publish)
    worker.start()
    while publisher._worker is None:  # it is not told before it waits
        time.sleep(0.01)
    assert worker.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(TimeIsOver))
    assert stopped.wait(10)
    worker.join()
    publisher.close()


def test_a_dramatiq_worker_publishes(system: System, receiver: Receiver) -> None:
    broker = StubBroker()
    publisher = SyncPublisher(system.nats)

    @dramatiq.actor(broker=broker)
    def tell(event_id: str) -> None:
        publisher.publish(an_event(receiver.project, id=event_id))

    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=4)
    worker.start()
    ids = {"evt_" + uuid.uuid4().hex for _ in range(10)}
    for event_id in ids:
        tell.send(event_id)
    broker.join(tell.queue_name, fail_fast=True)
    worker.stop()
    publisher.close()
    assert {receiver.next()["id"] for _ in ids} == ids


FORKING = """
import os, sys
from conftest import an_event
from dembrane_webhooks import SyncPublisher

publisher = SyncPublisher(sys.argv[1])
project = sys.argv[2]
publisher.publish(an_event(project, id="parent-1"))
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        publisher.publish(an_event(project, id=f"child-{number}"))
        publisher.close()
        os._exit(0)
    children.append(child)
assert all(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children)
publisher.publish(an_event(project, id="parent-2"))
"""


def test_it_survives_a_fork(system: System, receiver: Receiver) -> None:
    """What is left open when the program ends is closed, and says nothing."""
    here = os.path.dirname(__file__)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([here, os.path.join(here, "..", "src")]))
    command = [sys.executable, "-W", "always", "-c", FORKING, system.nats, receiver.project]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert {receiver.next()["id"] for _ in range(5)} == {
        "parent-1",
        "parent-2",
        "child-0",
        "child-1",
        "child-2",
    }
