"""A receiver of dembrane webhooks that you can copy. Python 3.9 or newer, nothing to install.

    WEBHOOK_SECRET='whsec_…' python3 receiver.py

It verifies what arrives, writes it into a folder, answers, and only then works on
it. The folder is what makes it safe: an event that has been answered is worked on
even if this program is killed, and one that arrives twice is worked on once. With a
database, a table with a unique column for the id does the same.

Put a proxy that speaks TLS in front of it, and what you want to happen into handle().
"""

import base64
import hashlib
import hmac
import json
import os
import re
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT = int(os.environ.get("PORT", "8000"))
INBOX = Path(os.environ.get("INBOX", "inbox"))
DONE = INBOX / "done"  # an empty file for each event; delete those older than a month

TOLERANCE_SECONDS = 5 * 60
MAX_BODY_BYTES = 32 << 20
RETRY_SECONDS = 10


def handle(event: dict) -> None:
    """Your work. If it raises, it is tried again later; after a crash it may run twice."""
    print(event["event"], event["id"], flush=True)


def signing_key(secret: str) -> bytes:
    key = base64.b64decode(secret[len("whsec_") :] + "==") if secret.startswith("whsec_") else secret.encode()
    if not key:
        raise SystemExit("set WEBHOOK_SECRET: without one, anybody can sign")
    return key


KEY = signing_key(os.environ.get("WEBHOOK_SECRET", ""))


def fault_of(headers, body: bytes) -> "str | None":
    """What is wrong with a delivery, or None when it is ours and fresh."""
    event_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", event_id) or not re.fullmatch(r"[0-9]{1,12}", timestamp):
        return "webhook-id or webhook-timestamp is missing or malformed"
    signed = f"{event_id}.{timestamp}.".encode() + body
    mac = hmac.new(KEY, signed, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(mac)
    # While a secret is being changed there are two signatures; one that fits is enough.
    signatures = headers.get("webhook-signature", "").encode().split(b" ")
    if not any([hmac.compare_digest(expected, signature) for signature in signatures]):
        return "no signature matches"
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return "webhook-timestamp is too far from this computer's clock"
    return None


keeping = threading.Lock()
arrived = threading.Event()


def keep(event_id: str, body: bytes) -> bool:
    """Write the event down, unless it is known."""
    path = INBOX / f"{event_id}.json"
    with keeping:
        if path.exists() or (DONE / event_id).exists():
            return False
        part = INBOX / f"{event_id}.part"
        with open(part, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    arrived.set()
    return True


def work() -> None:
    while True:
        arrived.wait(RETRY_SECONDS)
        arrived.clear()
        for path in sorted(INBOX.glob("*.json"), key=lambda path: path.stat().st_mtime):
            try:
                if not (DONE / path.stem).exists():
                    handle(json.loads(path.read_bytes()))
                    (DONE / path.stem).touch()
                path.unlink()
            except Exception:  # one event must not stop the others
                traceback.print_exc()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30  # for whoever connects and says nothing

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if not size.isdigit() or int(size) > MAX_BODY_BYTES:
            self.close_connection = True
            self.answer(413, "too large, or no Content-Length")
            return
        body = self.rfile.read(int(size))
        fault = fault_of(self.headers, body)
        if fault:
            self.answer(401, fault)
        elif keep(self.headers["webhook-id"], body):
            self.answer(202, "accepted")
        else:
            self.answer(200, "known already")

    def answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    DONE.mkdir(parents=True, exist_ok=True)
    arrived.set()  # what was left when this program last ended
    threading.Thread(target=work, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", PORT), Receiver).serve_forever()
