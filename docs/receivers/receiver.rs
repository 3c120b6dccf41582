//! A receiver of dembrane webhooks that you can copy. Rust has no HMAC and no HTTP of
//! its own, so it takes three small crates:
//!
//! ```toml
//! [dependencies]
//! http = "1"
//! standardwebhooks = "1"
//! tiny_http = "0.12"
//! ```
//!
//!     WEBHOOK_SECRET='whsec_…' cargo run
//!
//! It verifies what arrives, writes it into a folder, answers, and only then works on
//! it. The folder is what makes it safe: an event that has been answered is worked on
//! even if this program is killed, and one that arrives twice is worked on once. With a
//! database, a table with a unique column for the id does the same.
//!
//! Put a proxy that speaks TLS in front of it, and what you want to happen into `handle`.

use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, thread};

use http::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::Webhook;
use tiny_http::{Method, Request, Response, Server};

const THREADS: usize = 16;
const MAX_BODY_BYTES: u64 = 32 << 20;
const RETRY: Duration = Duration::from_secs(10);

type Fault = Box<dyn Error + Send + Sync>;

/// Your work. If it fails, it is tried again later; after a crash it may run twice.
fn handle(id: &str, json: &str) -> Result<(), Fault> {
    // Read the JSON with serde_json.
    println!("{id} {} bytes", json.len());
    Ok(())
}

fn main() -> Result<(), Fault> {
    let inbox = Inbox::open(env::var("INBOX").unwrap_or("inbox".into()).into())?;
    let (arrived, wake) = sync_channel(1);
    let kept = inbox.clone();
    thread::spawn(move || work(&kept, &wake));
    let port: u16 = env::var("PORT").unwrap_or("8000".into()).parse()?;
    let server = Arc::new(Server::http(("127.0.0.1", port))?);
    let webhook = Arc::new(verifier(&env::var("WEBHOOK_SECRET").unwrap_or_default())?);
    let inbox = Arc::new(Mutex::new(inbox));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (server, webhook, inbox, arrived) = (server.clone(), webhook.clone(), inbox.clone(), arrived.clone());
            thread::spawn(move || {
                for request in server.incoming_requests() {
                    if let Err(fault) = receive(request, &webhook, &inbox, &arrived) {
                        eprintln!("{fault}");
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "a thread panicked")?;
    }
    Ok(())
}

fn verifier(secret: &str) -> Result<Webhook, Fault> {
    if secret.strip_prefix("whsec_").unwrap_or(secret).trim_end_matches('=').is_empty() {
        return Err("set WEBHOOK_SECRET: without one, anybody can sign".into());
    }
    // Webhook::new would take any secret for base64.
    Ok(if secret.starts_with("whsec_") { Webhook::new(secret)? } else { Webhook::from_bytes(secret.into())? })
}

fn receive(mut request: Request, webhook: &Webhook, inbox: &Mutex<Inbox>, arrived: &SyncSender<()>) -> Result<(), Fault> {
    let mut body = Vec::new();
    request.as_reader().take(MAX_BODY_BYTES + 1).read_to_end(&mut body)?;
    let (status, text) = if *request.method() != Method::Post {
        (405, "POST only".into())
    } else if body.len() as u64 > MAX_BODY_BYTES {
        (413, "too large".into())
    } else {
        let mut headers = HeaderMap::new();
        for header in request.headers() {
            headers.insert(HeaderName::try_from(header.field.as_str().as_str())?, HeaderValue::try_from(header.value.as_str())?);
        }
        // It accepts either of two signatures while a secret is being changed, and no
        // delivery that is older than five minutes.
        match webhook.verify(&body, &headers) {
            Err(fault) => (401, fault.to_string()),
            Ok(()) => {
                let is_new = inbox.lock().map_err(|_| "a thread panicked")?.keep(headers["webhook-id"].to_str()?, &body)?;
                let _ = arrived.try_send(()); // full: it has been told already
                if is_new { (202, "accepted".into()) } else { (200, "known already".into()) }
            }
        }
    };
    Ok(request.respond(Response::from_string(text).with_status_code(status))?)
}

#[derive(Clone)]
struct Inbox {
    folder: PathBuf,
    /// An empty file for each event; delete those older than a month.
    done: PathBuf,
}

impl Inbox {
    fn open(folder: PathBuf) -> Result<Self, Fault> {
        let done = folder.join("done");
        fs::create_dir_all(&done)?;
        Ok(Inbox { folder, done })
    }

    /// Writes the event down, unless it is known.
    fn keep(&self, id: &str, body: &[u8]) -> Result<bool, Fault> {
        if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err("webhook-id is malformed".into());
        }
        let path = self.folder.join(format!("{id}.json"));
        if path.exists() || self.done.join(id).exists() {
            return Ok(false);
        }
        let part = self.folder.join(format!("{id}.part"));
        let mut file = File::create(&part)?;
        file.write_all(body)?;
        file.sync_all()?;
        fs::rename(part, path)?;
        Ok(true)
    }

    fn work_on(&self, path: &Path) -> Result<(), Fault> {
        let id = path.file_stem().and_then(|name| name.to_str()).ok_or("a name that is not ours")?;
        let done = self.done.join(id);
        if !done.exists() {
            handle(id, &fs::read_to_string(path)?)?;
            File::create(done)?;
        }
        Ok(fs::remove_file(path)?)
    }
}

/// Begins with what was left when this program last ended.
fn work(inbox: &Inbox, wake: &Receiver<()>) {
    loop {
        for entry in fs::read_dir(&inbox.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|name| name == "json") {
                if let Err(fault) = inbox.work_on(&path) {
                    eprintln!("{}: {fault}", path.display()); // one event must not stop the others
                }
            }
        }
        if wake.recv_timeout(RETRY) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}
