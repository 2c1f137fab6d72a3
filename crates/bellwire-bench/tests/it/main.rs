//! The generator against a real server, in one process.

mod compare;
