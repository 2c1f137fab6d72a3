//! Server-Sent Events (WHATWG HTML §9.2) and the HTTP/1.1 chunks they travel in. The server
//! writes with it, the client reads; it knows nothing of channels or sockets.
//!
//! ```
//! use bellwire_wire::sse;
//!
//! let mut wire = Vec::new();
//! sse::write_id(&mut wire, "7")?;
//! sse::write_data(&mut wire, b"two\nlines");
//! sse::end(&mut wire);
//! assert_eq!(wire, b"id: 7\ndata: two\ndata: lines\n\n");
//!
//! let mut seen = Vec::new();
//! sse::Parser::new(64 * 1024).feed(&wire, |event| seen.push(event.data.to_owned()))?;
//! assert_eq!(seen, ["two\nlines"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod encoder;

mod chunk;

mod parser;

pub use chunk::{LAST_CHUNK, write_chunk};
pub use encoder::{
    UnencodableField, end, write_comment, write_data, write_event, write_id, write_retry,
};
pub use parser::{Event, EventTooLong, Parser};
