//! The laboratory: Bellwire, the bare limit and the peers side by side, and the page that says
//! what came out.

pub(crate) mod bare;
pub(crate) mod cycles;
pub(crate) mod page;
pub(crate) mod rig;
pub(crate) mod sections;
pub(crate) mod server;
pub(crate) mod statistics;
