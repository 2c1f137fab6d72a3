//! The crate's integration tests, one behaviour per file, in one binary.
