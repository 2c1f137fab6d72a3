//! Nchan, Pushpin, Redis, Centrifugo and Mercure, as their users speak to them.

use std::io::Write;

use anyhow::{Result, bail};

use super::{
    Dialect, Response, Step, Target, Wire, Wish,
    http::{get, post, post_plain},
    text_frame,
};

/// Ends a response's head; where nothing else tells that a subscription stands.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Servers whose subscription is one request to one channel.
pub(super) fn subscribe(target: &Target, wish: Wish<'_>) -> Step {
    let channel = wish.channels.first().map_or("", String::as_str);
    let path = match (target.dialect, target.wire) {
        (Dialect::Mercure, _) => format!("/.well-known/mercure?topic={channel}"),
        (_, Wire::Ws) => format!("/ws/{channel}"),
        (_, Wire::Sse | Wire::Poll) => format!("/sse/{channel}"),
    };
    get(target, &path, wish.token, HEAD_END)
}

pub(super) fn publish(target: &Target, out: &mut Vec<u8>, channel: &str, payload: &[u8]) {
    let text = String::from_utf8_lossy(payload);
    match target.dialect {
        Dialect::Nchan => post(target, out, &format!("/pub/{channel}"), "", payload),
        Dialect::Pushpin => {
            let content = serde_json::Value::from(text.as_ref());
            let event = serde_json::Value::from(format!("data: {text}\n\n"));
            let body = format!(
                "{{\"items\":[{{\"channel\":\"{channel}\",\"formats\":{{\
                 \"ws-message\":{{\"content\":{content}}},\
                 \"http-stream\":{{\"content\":{event}}}}}}}]}}"
            );
            post(target, out, "/publish/", "", body.as_bytes());
        }
        Dialect::Centrifugo => {
            let key = target.credential.as_deref().unwrap_or_default();
            let body = format!("{{\"channel\":\"{channel}\",\"data\":{text}}}");
            post_plain(
                target,
                out,
                "/api/publish",
                &format!("x-api-key: {key}\r\ncontent-type: application/json\r\n"),
                body.as_bytes(),
            );
        }
        _ => {
            let body = format!("topic={channel}&data={text}");
            post(
                target,
                out,
                "/.well-known/mercure",
                "content-type: application/x-www-form-urlencoded\r\n",
                body.as_bytes(),
            );
        }
    }
}

pub(super) fn centrifugo_subscribe(target: &Target, wish: Wish<'_>) -> Vec<Step> {
    let token = wish.token.unwrap_or_default();
    let mut steps = vec![
        get(target, "/connection/websocket", None, HEAD_END),
        Step {
            send: text_frame(&format!(
                "{{\"id\":1,\"connect\":{{\"token\":\"{token}\"}}}}"
            )),
            until: b"\"connect\"",
        },
    ];
    steps.extend(wish.channels.iter().zip(2..).map(|(channel, id)| Step {
        send: text_frame(&format!(
            "{{\"id\":{id},\"subscribe\":{{\"channel\":\"{channel}\"}}}}"
        )),
        until: b"\"subscribe\"",
    }));
    steps
}

pub(super) fn redis_subscribe(wish: Wish<'_>) -> Step {
    let mut words: Vec<&[u8]> = vec![b"SUBSCRIBE"];
    words.extend(wish.channels.iter().map(|channel| channel.as_bytes()));
    let mut send = Vec::new();
    redis_command(&mut send, &words);
    Step {
        send,
        until: b"\r\n:",
    }
}

pub(super) fn redis_publish(out: &mut Vec<u8>, channel: &str, payload: &[u8]) {
    redis_command(out, &[b"PUBLISH", channel.as_bytes(), payload]);
}

/// A command of the Redis protocol: an array of strings with their lengths.
fn redis_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    write!(out, "*{}\r\n", words.len()).expect("memory takes it");
    for word in words {
        write!(out, "${}\r\n", word.len()).expect("memory takes it");
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// `:3\r\n`: how many received it.
pub(super) fn redis_answer(bytes: &[u8]) -> Result<Option<Response<'_>>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n") else {
        return Ok(None);
    };
    if bytes.first() != Some(&b':') {
        bail!("{}", String::from_utf8_lossy(&bytes[..end]));
    }
    Ok(Some(Response {
        length: end + 2,
        body: &bytes[1..end],
    }))
}
