//! Placeholder.

pub mod access;

pub mod config;

pub mod problem;
