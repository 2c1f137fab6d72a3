//! The crate's integration tests, one behaviour per file, in one binary. What a stream leads to
//! is written down by the same code as the fuzz targets use.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod deflate;
mod footprint;
mod frame_round_trip;
mod frame_rules;
mod handshake;
mod proxy_header;
mod tungstenite;

mod sse_round_trip;
mod sse_vectors;

mod corpus;

#[expect(
    unreachable_pub,
    reason = "public in the fuzz crate, which owns the file"
)]
#[path = "../../../../fuzz/src/frame_decoder.rs"]
mod frame_check;

#[expect(
    unreachable_pub,
    reason = "public in the fuzz crate, which owns the file"
)]
#[path = "../../../../fuzz/src/handshake.rs"]
mod handshake_check;

#[expect(
    unreachable_pub,
    reason = "public in the fuzz crate, which owns the file"
)]
#[path = "../../../../fuzz/src/sse_parser.rs"]
mod sse_check;

#[expect(
    unreachable_pub,
    reason = "public in the fuzz crate, which owns the file"
)]
#[path = "../../../../fuzz/src/extensions.rs"]
mod extensions_check;

#[expect(
    unreachable_pub,
    reason = "public in the fuzz crate, which owns the file"
)]
#[path = "../../../../fuzz/src/inflate.rs"]
mod inflate_check;

#[expect(
    unreachable_pub,
    reason = "public in the fuzz crate, which owns the file"
)]
#[path = "../../../../fuzz/src/proxy_header.rs"]
mod proxy_header_check;
