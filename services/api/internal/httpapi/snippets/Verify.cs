using System;
using System.Security.Cryptography;
using System.Text;

static class Verify
{
    // body: the bytes as received; signatureHeader: X-Dembrane-Signature.
    public static bool IsValid(byte[] body, string signatureHeader, string secret)
    {
        if (string.IsNullOrEmpty(secret))
        {
            return false; // without a secret, anybody can sign
        }
        using (var hmac = new HMACSHA256(Encoding.UTF8.GetBytes(secret)))
        {
            var expected = BitConverter.ToString(hmac.ComputeHash(body)).Replace("-", "").ToLowerInvariant();
            return CryptographicOperations.FixedTimeEquals(
                Encoding.UTF8.GetBytes(expected), Encoding.UTF8.GetBytes(signatureHeader ?? ""));
        }
    }
}
