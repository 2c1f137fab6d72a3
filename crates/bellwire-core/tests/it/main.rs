//! The core's behaviour through its public interface.

mod engine;
mod sim;
