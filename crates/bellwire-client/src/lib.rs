//! Bellwire's resumable client: three transports over one cursor.
//!
//! ```text
//!  Client ─► subscribe ─► Subscription::next ─► Item
//!                            │        ▲
//!                  Step      ▼        │ Event
//!                         machine (pure: positions, backoff, verdicts)
//!                            │        ▲
//!                            ▼        │
//!                         transport: sse │ websocket │ poll ─► one connection, TCP or TLS
//!
//!  Client ─► publish, publish_batch ─► pool of keep-alive connections
//! ```
//!
//! A [`Subscription`] keeps a position per channel, reconnects by itself and resumes from there,
//! so its reader sees each message once and in order, and every loss as an [`Item::Gap`]. It is
//! pull based: while nobody awaits [`Subscription::next`], no socket is read and no task runs.
//!
//! ```no_run
//! use bellwire_client::{Client, Item, Options};
//!
//! # async fn example() -> Result<(), bellwire_client::Error> {
//! let client = Client::builder("http://127.0.0.1:2355").build()?;
//! let mut news = client.subscribe(["news"], Options::default())?;
//! while let Some(item) = news.next().await {
//!     match item {
//!         Item::Message(message) => println!("{}", String::from_utf8_lossy(&message.data)),
//!         Item::Gap(gap) => println!("missed some of {}: {}", gap.channel, gap.reason),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod client;
mod endpoint;
mod error;
mod tls;

mod item;

mod backoff;
mod machine;
mod positions;
mod verdict;

mod subscription;
mod transport;

mod publish;

#[cfg(feature = "conformance")]
pub mod conformance;

pub use client::{Client, ClientBuilder};
pub use error::{Error, Refusal};
pub use item::{Bye, Denied, Gap, Item, Message, Status};
pub use publish::{Data, Durability, Publication, PublishOptions, Published};
pub use subscription::{Options, Subscription};
pub use tls::tls_config;
pub use transport::Transport;
