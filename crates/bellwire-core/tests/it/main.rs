//! The core's behaviour through its public interface.

mod attach_model;
mod corpus;
mod crowd;
mod engine;
mod polls;
mod sim;

#[path = "../sinks/mod.rs"]
mod sinks;
