//! Checks everything, with one command.

fn main() {}
