import hashlib
import hmac


def is_valid(body: bytes, signature_header: str, secret: str) -> bool:
    if not secret:
        return False  # without a secret, anybody can sign
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    # constant-time compare against the value in X-Dembrane-Signature
    return hmac.compare_digest(expected, signature_header)
