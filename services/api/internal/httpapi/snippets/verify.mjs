import { createHmac, timingSafeEqual } from "node:crypto";

// body: a Buffer with the bytes as received; signatureHeader: X-Dembrane-Signature.
export function isValid(body, signatureHeader, secret) {
  if (!secret) return false; // without a secret, anybody can sign
  const expected = createHmac("sha256", secret).update(body).digest("hex");
  const given = Buffer.from(signatureHeader ?? "");
  return given.length === expected.length && timingSafeEqual(Buffer.from(expected), given);
}
