import contextlib
import json
import os
import signal
import socket
import subprocess
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from dembrane_webhooks import Event, SyncPublisher

PATIENCE_SECONDS = 60
PROBE = "probe-"


@dataclass
class System:
    """A running standalone."""

    nats: str
    api: str
    token: str

    def call(self, path: str, content: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.api + path,
            json.dumps(content).encode(),
            {"Content-Type": "application/json", "Authorization": "Bearer " + self.token},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)


@dataclass
class Receiver:
    """What arrives at a webhook of a project."""

    project: str
    bodies: "Queue[dict[str, Any]]" = field(default_factory=Queue)
    probed: threading.Event = field(default_factory=threading.Event)

    def note(self, body: dict[str, Any]) -> None:
        if body["id"].startswith(PROBE):
            self.probed.set()
        else:
            self.bodies.put(body)

    def next(self) -> dict[str, Any]:
        return self.bodies.get(timeout=PATIENCE_SECONDS)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


@contextlib.contextmanager
def standalone(folder: Path, nats_port: int = 0) -> Iterator[System]:
    environment = dict(
        os.environ,
        DATA_DIR=str(folder),
        API_ADDR="127.0.0.1:0",
        NATS_ADDR=f"127.0.0.1:{nats_port}",
        LOG_LEVEL="error",
    )
    process = subprocess.Popen([os.environ["STANDALONE"]], env=environment, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield System(ready["nats"], ready["api"], ready["token"])
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with standalone(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture
def receiver(system: System) -> Iterator[Receiver]:
    """A webhook for every event of a project of its own."""
    with receiving(system, "project-" + uuid.uuid4().hex) as r:
        yield r


@contextlib.contextmanager
def receiving(system: System, project: str) -> Iterator[Receiver]:
    r = Receiver(project)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            r.note(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        types = [
            "conversation.started",
            "conversation.transcribed",
            "conversation.summarized",
            "report.generated",
        ]
        webhook = {"url": f"http://127.0.0.1:{server.server_port}/", "events": types}
        system.call(f"/api/projects/{project}/webhooks", webhook)
        with SyncPublisher(system.nats) as publisher:  # until the webhook is in force
            while not r.probed.wait(0.05):
                publisher.publish(an_event(project, id=PROBE + uuid.uuid4().hex))
        yield r
        server.shutdown()


@pytest.fixture
def event() -> Callable[..., Event]:
    return an_event


def an_event(project: str = "p1", /, **changed: Any) -> Event:
    whole: dict[str, Any] = {
        "id": "evt_" + uuid.uuid4().hex,
        "type": "conversation.started",
        "occurred_at": "2026-01-20T11:30:00.412345Z",
        "project": {"id": project, "name": "Buurtgesprekken", "language": "nl"},
        "conversation": {"id": "c1", "created_at": "2026-01-20T11:30:00.000Z", "tags": ["bus"]},
        **changed,
    }
    return whole  # type: ignore[return-value]  # tests make wrong ones, too
