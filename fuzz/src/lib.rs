//! What the fuzz targets assert, one function `check(&[u8])` per target. Each file stands alone,
//! so that the tests of the crate it exercises can include it and replay the corpus without a
//! fuzzer.

pub mod commands;
pub mod cursor;
pub mod extensions;
pub mod frame_decoder;
pub mod handshake;
pub mod inflate;
pub mod proxy_header;
pub mod sse_parser;
