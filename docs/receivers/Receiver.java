import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * A receiver of dembrane webhooks that you can copy. Java 17 or newer, JDK only.
 *
 * <pre>WEBHOOK_SECRET='whsec_…' java Receiver.java</pre>
 *
 * It verifies what arrives, writes it into a folder, answers, and only then works on it. The folder
 * is what makes it safe: an event that has been answered is worked on even if this program is
 * killed, and one that arrives twice is worked on once. With a database, a table with a unique
 * column for the id does the same.
 *
 * <p>Put a proxy that speaks TLS in front of it, and what you want to happen into {@link #handle}.
 */
public final class Receiver {
    private static final long TOLERANCE_SECONDS = 5 * 60;
    private static final int MAX_BODY_BYTES = 32 << 20;
    private static final long RETRY_SECONDS = 10;
    private static final int THREADS = 16;

    /** Your work. If it throws, it is tried again later; after a crash it may run twice. */
    private void handle(String id, String json) {
        // Read the JSON with the library of your project: the JDK has none.
        System.out.println(id + " " + json.length() + " characters");
    }

    private final byte[] key;
    private final Path inbox;
    private final Path done; // an empty file for each event; delete those older than a month
    private final Semaphore arrived = new Semaphore(1); // a permit: look at what was left

    private Receiver(String secret, Path inbox) throws IOException {
        key = signingKey(secret);
        this.inbox = inbox;
        done = Files.createDirectories(inbox.resolve("done"));
    }

    public static void main(String[] args) throws IOException {
        var environment = System.getenv();
        var port = Integer.parseInt(environment.getOrDefault("PORT", "8000"));
        var receiver = new Receiver(environment.getOrDefault("WEBHOOK_SECRET", ""), Path.of(environment.getOrDefault("INBOX", "inbox")));
        var worker = new Thread(receiver::work, "worker");
        worker.setDaemon(true);
        worker.start();
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", port), 0);
        server.createContext("/", receiver::receive);
        server.setExecutor(Executors.newFixedThreadPool(THREADS));
        server.start();
    }

    private static byte[] signingKey(String secret) {
        var key = secret.startsWith("whsec_")
                ? Base64.getDecoder().decode(secret.substring("whsec_".length()))
                : secret.getBytes(StandardCharsets.UTF_8);
        if (key.length == 0) {
            throw new IllegalArgumentException("set WEBHOOK_SECRET: without one, anybody can sign");
        }
        return key;
    }

    private void receive(HttpExchange exchange) throws IOException {
        try (exchange) {
            if (!exchange.getRequestMethod().equals("POST")) {
                answer(exchange, 405, "POST only");
                return;
            }
            var body = exchange.getRequestBody().readNBytes(MAX_BODY_BYTES + 1);
            if (body.length > MAX_BODY_BYTES) {
                answer(exchange, 413, "too large");
                return;
            }
            var fault = faultOf(exchange.getRequestHeaders(), body);
            if (fault != null) {
                answer(exchange, 401, fault);
                return;
            }
            var isNew = keep(first(exchange.getRequestHeaders(), "webhook-id"), body);
            answer(exchange, isNew ? 202 : 200, isNew ? "accepted" : "known already");
        } catch (GeneralSecurityException e) {
            throw new IOException(e);
        }
    }

    private static void answer(HttpExchange exchange, int status, String text) throws IOException {
        var data = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, data.length);
        exchange.getResponseBody().write(data);
    }

    /** What is wrong with a delivery, or null when it is ours and fresh. */
    private String faultOf(Headers headers, byte[] body) throws GeneralSecurityException {
        var id = first(headers, "webhook-id");
        var timestamp = first(headers, "webhook-timestamp");
        if (!id.matches("[A-Za-z0-9_-]{1,64}") || !timestamp.matches("[0-9]{1,12}")) {
            return "webhook-id or webhook-timestamp is missing or malformed";
        }
        var mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
        var expected = ("v1," + Base64.getEncoder().encodeToString(mac.doFinal(body))).getBytes(StandardCharsets.UTF_8);
        // While a secret is being changed there are two signatures; one that fits is enough.
        var matches = false;
        for (var signature : first(headers, "webhook-signature").split(" ")) {
            matches |= MessageDigest.isEqual(expected, signature.getBytes(StandardCharsets.UTF_8));
        }
        if (!matches) {
            return "no signature matches";
        }
        var age = System.currentTimeMillis() / 1000 - Long.parseLong(timestamp);
        return Math.abs(age) > TOLERANCE_SECONDS ? "webhook-timestamp is too far from this computer's clock" : null;
    }

    private static String first(Headers headers, String name) {
        var value = headers.getFirst(name);
        return value == null ? "" : value;
    }

    /** Writes the event down, unless it is known. */
    private synchronized boolean keep(String id, byte[] body) throws IOException {
        var file = inbox.resolve(id + ".json");
        if (Files.exists(file) || Files.exists(done.resolve(id))) {
            return false;
        }
        var part = inbox.resolve(id + ".part");
        Files.write(part, body, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE, StandardOpenOption.DSYNC);
        Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
        arrived.release();
        return true;
    }

    private void work() {
        while (true) {
            try {
                arrived.tryAcquire(RETRY_SECONDS, TimeUnit.SECONDS);
                arrived.drainPermits();
                try (var files = Files.newDirectoryStream(inbox, "*.json")) {
                    files.forEach(this::workOn);
                }
            } catch (InterruptedException e) {
                return;
            } catch (IOException e) {
                System.err.println(inbox + ": " + e);
            }
        }
    }

    private void workOn(Path file) {
        var id = file.getFileName().toString().replace(".json", "");
        try {
            if (!Files.exists(done.resolve(id))) {
                handle(id, Files.readString(file));
                Files.createFile(done.resolve(id));
            }
            Files.delete(file);
        } catch (IOException | RuntimeException e) {
            System.err.println(file + ": " + e); // one event must not stop the others
        }
    }
}
