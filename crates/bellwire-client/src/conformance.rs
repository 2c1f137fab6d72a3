//! What test suites of WebSocket clients drive: this crate's own frames, without Bellwire's
//! meaning. Only with the feature `conformance`, which nothing but tests turns on.

use bellwire_wire::websocket::Opcode;

use crate::{
    endpoint::Endpoint,
    error::Error,
    transport::{Frames, Received},
};

/// The longest message; the suites' longest is 16 MiB.
const MAX_MESSAGE: usize = 32 << 20;

/// Connects to a WebSocket at `path` of the server at `url`, returns each message as it came, and
/// ends with the connection. Gives the texts received.
///
/// # Errors
/// The URL is not one, or there is no WebSocket.
pub async fn echo(url: &str, path: &str) -> Result<Vec<String>, Error> {
    let endpoint = Endpoint::parse(url, None, std::sync::Arc::new(|| None))?;
    let open = Frames::open(&endpoint, path, MAX_MESSAGE).await;
    let mut frames = open.map_err(|loss| Error::invalid("url", format!("{loss:?}")))?;
    let (mut texts, mut open) = (Vec::new(), true);
    while open {
        let read = frames.read(|received, answers| match received {
            Received::Text(text) => {
                answers.push(Opcode::Text, text.as_bytes());
                texts.push(text.to_owned());
            }
            Received::Binary(bytes) => answers.push(Opcode::Binary, bytes),
            Received::Close(_) | Received::Broken(_) => open = false,
        });
        // However it ended: what the suite says of it is in its report.
        let alive = read.await.unwrap_or(false);
        open &= alive;
        frames.flush().await.ok();
    }
    Ok(texts)
}
