# A receiver around the verifier of the README, which is pasted here unchanged. It prints its address, then one line for every delivery.
import http.server
import sys

import hashlib
import hmac
def is_valid(body: bytes, signature_header: str, secret: str) -> bool:
    if not secret:
        return False  # without a secret, anybody can sign
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    # constant-time compare against the value in X-Dembrane-Signature
    return hmac.compare_digest(expected, signature_header)


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        valid = is_valid(body, self.headers["X-Dembrane-Signature"], sys.argv[1])
        print("verified" if valid else "refused", self.headers["X-Dembrane-Event"], flush=True)
        self.send_response(204 if valid else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
print(f"http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()
