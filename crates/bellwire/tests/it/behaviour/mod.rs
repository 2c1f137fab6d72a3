//! One suite for all three transports: what holds on one holds on each.

mod access;
mod commands;
mod faults;
mod formats;
mod heartbeats;
mod live;
mod loss;
mod polls;
mod resume;
mod sse;

/// Makes a test of each behaviour on each transport.
macro_rules! on_every_transport {
    ($($behaviour:ident)*) => {$(
        mod $behaviour {
            use bellwire_testkit::raw::Transport;

            #[test]
            fn over_sse() {
                super::$behaviour(Transport::Sse);
            }

            #[test]
            fn over_websocket() {
                super::$behaviour(Transport::WebSocket);
            }

            #[test]
            fn over_polls() {
                super::$behaviour(Transport::Poll);
            }
        }
    )*};
}

pub(crate) use on_every_transport;
