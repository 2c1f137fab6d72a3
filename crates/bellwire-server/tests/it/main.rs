//! Integration tests of the server library; one behaviour per file.
#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod access;
mod config;
mod minting;
mod spec;
