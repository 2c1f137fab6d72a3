//! A publication on its way into each wire format.

use std::hint::black_box;

use bellwire_core::{
    channel::Channel,
    compression::Compressors,
    format::{Format, Framing, SseContent, SseFormat},
    position::{Epoch, Position},
    publication::{EventName, Labels, Payload, Publication},
};

use bellwire_wire::websocket::WindowBits;

use crate::{Scenario, Step};

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario("encode.websocket", || encoding(Format::WebSocket)),
    scenario("encode.websocket-deflated", || encoding(DEFLATED)),
    scenario("encode.sse", || encoding(SSE_OWN_ID)),
    scenario("encode.poll", || encoding(Format::Json)),
];

/// WebSockets that take compressed messages.
pub(crate) const DEFLATED: Format = Format::Deflated {
    raw: false,
    window: WindowBits::FULL,
};

/// Event streams of one channel, or with `ids=own`.
pub(crate) const SSE_OWN_ID: Format = Format::Sse(SseFormat {
    own_id: true,
    ..SSE_COMPOSITE
});

/// Event streams of several channels.
pub(crate) const SSE_COMPOSITE: SseFormat = SseFormat {
    framing: Framing::Chunked,
    own_id: false,
    content: SseContent::Envelope,
};

const fn scenario(name: &'static str, prepare: fn() -> Step) -> Scenario {
    Scenario {
        name,
        unit: "publication",
        function: "Format::encode",
        steps: 2_000,
        each: 1,
        prepare,
    }
}

fn encoding(format: Format) -> Step {
    let publication = publication(12_345);
    let mut out = Vec::with_capacity(1_024);
    let mut compressors = Compressors::default();
    Box::new(move || {
        out.clear();
        format.encode(&mut out, black_box(&publication), &mut compressors);
        black_box(&out);
    })
}

/// A publication with an event name.
pub(crate) fn publication(offset: u64) -> Publication {
    let channel = Channel::parse("orders:eu").expect("a valid name");
    let position = Position {
        epoch: Epoch(1).tag(&channel),
        offset,
    };
    let labels = Labels {
        event: Some(EventName::parse("updated").expect("a valid name")),
        user: None,
    };
    Publication {
        channel,
        position,
        prev: offset - 1,
        time: 1_790_000_000_000,
        labels: Some(Box::new(labels)),
        payload: payload(),
    }
}

/// JSON of 128 bytes.
pub(crate) fn payload() -> Payload {
    Payload::json(&json())
}

/// See [`payload`].
pub(crate) fn json() -> String {
    format!(
        "{{\"text\":\"{}\"}}",
        "price 12.50 ".repeat(10).split_at(117).0
    )
}
