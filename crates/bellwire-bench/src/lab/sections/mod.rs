//! The measurements, each a part of the page.

mod batches;
mod broadcast;
mod channels;
mod churn;
mod coalescing;
mod connect;
mod crowd;
mod head_of_line;
mod memory;
mod open_loop;
mod scaling;
mod shards;
mod storm;
mod unicast;

use anyhow::Result;

use super::{cycles::Effort, page::Part, server};

/// A measurement with its name.
pub(crate) type Section = (&'static str, fn(Effort) -> Result<Part>);

/// All of them, in the order of the page.
pub(crate) const ALL: &[Section] = &[
    ("broadcast", broadcast::measure),
    ("coalescing", coalescing::measure),
    ("open-loop", open_loop::measure),
    ("head-of-line", head_of_line::measure),
    ("channels", channels::measure),
    ("unicast", unicast::measure),
    ("batches", batches::measure),
    ("memory", memory::measure),
    ("churn", churn::measure),
    ("crowd", crowd::measure),
    ("connect", connect::measure),
    ("storm", storm::measure),
    ("shards", shards::measure),
    ("scaling", scaling::measure),
];

/// What the peers say of themselves.
pub(crate) fn versions() -> Vec<String> {
    let peers = [
        "nchan",
        "pushpin",
        "redis",
        "uwebsockets",
        "node-ws",
        "node-sse",
        "axum",
    ];
    let mut versions = vec![format!("Bellwire {}", env!("CARGO_PKG_VERSION"))];
    versions.extend(peers.map(server::version));
    versions
}
