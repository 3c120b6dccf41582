import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

class Verify {
    // body: the bytes as received; signatureHeader: X-Dembrane-Signature.
    static boolean isValid(byte[] body, String signatureHeader, String secret) throws GeneralSecurityException {
        if (secret == null || secret.isEmpty()) {
            return false; // without a secret, anybody can sign
        }
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
        String expected = HexFormat.of().formatHex(mac.doFinal(body));
        // MessageDigest.isEqual takes the same time wherever the two differ
        return MessageDigest.isEqual(expected.getBytes(StandardCharsets.UTF_8), signatureHeader.getBytes(StandardCharsets.UTF_8));
    }
}
