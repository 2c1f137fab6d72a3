//! What must hold of the source tree as a whole.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod layering;
mod links;
mod security;
mod spec;
mod tidy;
mod tree;
