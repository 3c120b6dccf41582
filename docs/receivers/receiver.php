<?php
/*
 * A receiver of dembrane webhooks that you can copy. PHP 8.1 or newer, nothing to install.
 *
 *   WEBHOOK_SECRET='whsec_…' php -d post_max_size=32M -S 127.0.0.1:8000 receiver.php
 *   php receiver.php work
 *
 * The first receives (in production, under PHP-FPM): it verifies what arrives, writes it
 * into a folder, and answers. The second works on what is there, so that no sender waits
 * for it; systemd or supervisor keeps it running. An event that has been answered is worked
 * on whatever is killed, and one that arrives twice is worked on once. With a database, a
 * table with a unique column for the id does the same.
 *
 * Put what you want to happen into handle(). post_max_size is 8M by default, and a long
 * transcript can be more.
 */

declare(strict_types=1);

const TOLERANCE_SECONDS = 5 * 60;
const WAIT_MICROSECONDS = 500_000;

/** Your work. If it throws, it is tried again later; after a crash it may run twice. */
function handle(array $event): void
{
    echo $event['event'], ' ', $event['id'], "\n";
}

// The folder "done" has an empty file for each event; delete those older than a month.
$inbox = getenv('INBOX') ?: __DIR__ . '/inbox';
if (!is_dir("$inbox/done") && !mkdir("$inbox/done", 0700, true) && !is_dir("$inbox/done")) {
    throw new RuntimeException("cannot make $inbox");
}
if (PHP_SAPI === 'cli') {
    work($inbox);
}
[$status, $text] = receive($inbox, (string) getenv('WEBHOOK_SECRET'));
http_response_code($status);
echo $text;

/** @return array{int, string} */
function receive(string $inbox, string $secret): array
{
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        return [405, 'POST only'];
    }
    $body = (string) file_get_contents('php://input');
    $fault = fault($secret, $body);
    if ($fault !== null) {
        return [401, $fault];
    }
    return keep($inbox, $_SERVER['HTTP_WEBHOOK_ID'], $body) ? [202, 'accepted'] : [200, 'known already'];
}

function signing_key(string $secret): string
{
    $key = str_starts_with($secret, 'whsec_') ? base64_decode(substr($secret, strlen('whsec_')), true) : $secret;
    if ($key === '' || $key === false) {
        throw new RuntimeException('set WEBHOOK_SECRET: without one, anybody can sign');
    }
    return $key;
}

/** What is wrong with a delivery, or null when it is ours and fresh. */
function fault(string $secret, string $body): ?string
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!preg_match('/\A[A-Za-z0-9_-]{1,64}\z/', $id) || !preg_match('/\A[0-9]{1,12}\z/', $timestamp)) {
        return 'webhook-id or webhook-timestamp is missing or malformed';
    }
    $mac = hash_hmac('sha256', "$id.$timestamp.$body", signing_key($secret), true);
    $expected = 'v1,' . base64_encode($mac);
    // While a secret is being changed there are two signatures; one that fits is enough.
    $matches = false;
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $signature) {
        $matches = hash_equals($expected, $signature) || $matches;
    }
    if (!$matches) {
        return 'no signature matches';
    }
    if (abs(time() - (int) $timestamp) > TOLERANCE_SECONDS) {
        return 'webhook-timestamp is too far from this computer\'s clock';
    }
    return null;
}

/** Writes the event down, unless it is known. */
function keep(string $inbox, string $id, string $body): bool
{
    // Every request may have a process of its own.
    $lock = fopen("$inbox/lock", 'c');
    if ($lock === false || !flock($lock, LOCK_EX)) {
        throw new RuntimeException("cannot lock $inbox");
    }
    if (file_exists("$inbox/$id.json") || file_exists("$inbox/done/$id")) {
        return false;
    }
    $part = fopen("$inbox/$id.part", 'w');
    if ($part === false || fwrite($part, $body) !== strlen($body) || !fsync($part) || !fclose($part)
        || !rename("$inbox/$id.part", "$inbox/$id.json")) {
        throw new RuntimeException("cannot write into $inbox");
    }
    return true;
}

function work(string $inbox): never
{
    while (true) {
        foreach (glob("$inbox/*.json") as $path) {
            $done = "$inbox/done/" . basename($path, '.json');
            try {
                if (!file_exists($done)) {
                    handle(json_decode(file_get_contents($path), true, flags: JSON_THROW_ON_ERROR));
                    touch($done);
                }
                unlink($path);
            } catch (Throwable $fault) { // one event must not stop the others
                fwrite(STDERR, "$path: $fault\n");
            }
        }
        usleep(WAIT_MICROSECONDS);
        clearstatcache();
    }
}
