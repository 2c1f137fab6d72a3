//! What tests share: the real binary as a child process, clients that know nothing of
//! `bellwire-client`, and proxies: a real one, and one that breaks connections on demand. Dev only; it must not know
//! how the server is built, only what it promises on the wire.

mod between;
pub mod certificate;
pub mod checker;
pub mod credentials;
pub mod frontend;
pub mod hop;
pub mod http;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod tunnel;
pub mod wait;
