//! Verifies deliveries with the library of Standard Webhooks, one folder each.

use http::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::Webhook;
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    for folder in env::args().skip(1) {
        let folder = Path::new(&folder);
        let secret = fs::read_to_string(folder.join("secret"))?;
        // A secret of any other form goes in as its bytes.
        let webhook = if secret.starts_with("whsec_") { Webhook::new(&secret)? } else { Webhook::from_bytes(secret.into())? };
        let mut headers = HeaderMap::new();
        for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::try_from(fs::read_to_string(folder.join(name))?)?);
        }
        match webhook.verify(&fs::read(folder.join("body"))?, &headers) {
            Ok(()) => println!("verified"),
            Err(fault) => println!("refused: {fault}"),
        }
    }
    Ok(())
}
