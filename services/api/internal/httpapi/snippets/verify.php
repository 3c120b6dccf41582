<?php

// $body: the bytes as received, from php://input; $signatureHeader: X-Dembrane-Signature.
function is_valid(string $body, string $signatureHeader, string $secret): bool
{
    // without a secret, anybody can sign
    return $secret !== '' && hash_equals(hash_hmac('sha256', $body, $secret), $signatureHeader);
}
