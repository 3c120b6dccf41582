require "openssl"

# body: the bytes as received; signature_header: X-Dembrane-Signature.
def valid?(body, signature_header, secret)
  return false if secret.to_s.empty? # without a secret, anybody can sign

  expected = OpenSSL::HMAC.hexdigest("SHA256", secret, body)
  OpenSSL.secure_compare(expected, signature_header.to_s)
end
