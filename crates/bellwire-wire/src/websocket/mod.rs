//! The WebSocket protocol, RFC 6455, one concept per file. Used by the server's shards and by
//! the client; it knows neither sockets nor what the messages mean.
//!
//! ```
//! use bellwire_wire::websocket::{Decoder, Event, Limits, Opcode, Role, encode_masked_frame};
//!
//! let mut wire = Vec::new();
//! encode_masked_frame(&mut wire, Opcode::Text, b"hello", [1, 2, 3, 4]);
//!
//! let mut decoder = Decoder::new(Role::Server, Limits { max_message: 256 * 1024 });
//! let mut input = wire.as_mut_slice();
//! while let Some(event) = decoder.decode(&mut input)? {
//!     assert_eq!(event, Event::Text("hello"));
//! }
//! assert!(decoder.is_idle());
//! # Ok::<(), bellwire_wire::websocket::Violation>(())
//! ```

pub mod handshake;

mod frame;
mod mask;
mod utf8;

mod decoder;
mod deflate;
mod encoder;

pub mod close;
mod violation;

pub use decoder::{Decoder, Event, Limits, MAX_EMPTY_FRAGMENTS, MessageKind, Role};
pub use deflate::{Compressor, Decompressor, WindowBits};
pub use encoder::{
    encode_close, encode_frame, encode_header, encode_masked_close, encode_masked_frame,
    split_frame, write_frame,
};
pub use frame::{MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN, Opcode, header_len};
pub use violation::Violation;
