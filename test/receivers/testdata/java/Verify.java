import com.standardwebhooks.Webhook;
import com.standardwebhooks.exceptions.WebhookVerificationException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;

/** Verifies deliveries with the library of Standard Webhooks, one folder each. */
public final class Verify {
    public static void main(String[] folders) throws IOException {
        for (var name : folders) {
            var folder = Path.of(name);
            var secret = Files.readString(folder.resolve("secret"));
            // A secret of any other form goes in as its bytes.
            var webhook = secret.startsWith("whsec_") ? new Webhook(secret) : new Webhook(secret.getBytes(StandardCharsets.UTF_8));
            var headers = new HashMap<String, List<String>>();
            for (var header : List.of("webhook-id", "webhook-timestamp", "webhook-signature")) {
                headers.put(header, List.of(Files.readString(folder.resolve(header))));
            }
            try {
                webhook.verify(Files.readString(folder.resolve("body")), headers);
                System.out.println("verified");
            } catch (WebhookVerificationException e) {
                System.out.println("refused: " + e.getMessage());
            }
        }
    }
}
