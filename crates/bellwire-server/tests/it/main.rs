//! Integration tests of the server library; one behaviour per file.

mod access;
mod config;
mod minting;
mod spec;
