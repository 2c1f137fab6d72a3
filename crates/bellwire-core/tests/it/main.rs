//! The core's behaviour through its public interface.

mod attach_model;
mod corpus;
mod engine;
mod sim;
