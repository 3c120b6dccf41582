"""Verifies deliveries with the library of Standard Webhooks, one folder each."""

import sys
from pathlib import Path

from standardwebhooks import Webhook, WebhookVerificationError

for folder in map(Path, sys.argv[1:]):
    secret = (folder / "secret").read_text(encoding="utf-8")
    # A secret of any other form goes in as its bytes.
    webhook = Webhook(secret if secret.startswith("whsec_") else secret.encode())
    headers = {name: (folder / name).read_text() for name in ("webhook-id", "webhook-timestamp", "webhook-signature")}
    try:
        webhook.verify((folder / "body").read_bytes(), headers)
        print("verified")
    except WebhookVerificationError as fault:
        print("refused:", fault)
