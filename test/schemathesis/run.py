"""Holds a standalone against the OpenAPI document: run.py STANDALONE SCHEMATHESIS.

Starts the program on data of its own, lets schemathesis send what the document
allows and what it forbids, and ends with schemathesis's exit code.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_SECONDS = 240  # a run takes about a quarter of that


def main(standalone: str, schemathesis: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(
            os.environ,
            API_ADDR="127.0.0.1:0",
            NATS_ADDR="127.0.0.1:0",
            DATA_DIR=os.path.join(folder, "data"),
            API_RATE_PER_SECOND="0",
            MAX_WEBHOOKS_PER_PROJECT="1000",
            ALLOW_CIDRS="",
            ATTEMPT_TIMEOUT="1s",
            LOG_LEVEL="error",
        )
        system = subprocess.Popen([standalone], env=environment, stdout=subprocess.PIPE, text=True)
        try:
            ready = json.loads(system.stdout.readline())
            command = [
                schemathesis,
                "--config-file", os.path.join(HERE, "schemathesis.toml"),
                "run", ready["api"] + "/api/openapi.yaml", "--url", ready["api"],
                # It answers until somebody stops it; httpapi's own tests hold it against the document.
                "--exclude-operation-id", "listen",
            ]
            client = dict(os.environ, WEBHOOKS_TOKEN=ready["token"], NO_COLOR="1")
            # In a folder of its own: it writes down what it found.
            return subprocess.run(command, env=client, cwd=folder, timeout=LIMIT_SECONDS, check=False).returncode
        finally:
            system.send_signal(signal.SIGTERM)
            system.wait(timeout=30)


if __name__ == "__main__":
    sys.exit(main(*(os.path.abspath(path) for path in sys.argv[1:3])))
