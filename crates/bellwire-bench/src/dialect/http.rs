//! Bellwire's requests and answers, and the little HTTP that the generator itself needs.

use std::io::Write;

use anyhow::{Context, Result, bail};

use super::{Step, Target, Wire, Wish};

/// An answer: how many bytes it takes, and its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Response<'a> {
    pub(crate) length: usize,
    pub(crate) body: &'a [u8],
}

/// The headers of an upgrade, RFC 6455 section 4.1. The key is that of its example.
pub(super) const UPGRADE: &str = "upgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub(super) fn subscribe(target: &Target, wish: Wish<'_>) -> Step {
    let mut path = match target.wire {
        Wire::Ws => "/v1/ws?",
        Wire::Sse => "/v1/sse?",
        Wire::Poll => "/v1/poll?",
    }
    .to_owned();
    for channel in wish.channels {
        path.push_str("channel=");
        path.push_str(channel);
        path.push('&');
    }
    path.pop();
    path.push_str(&target.query);
    if let Some(cursor) = wish.cursor {
        path.push_str("&cursor=");
        path.push_str(cursor);
    }
    let until: &[u8] = match target.wire {
        Wire::Poll => b"}",
        Wire::Ws | Wire::Sse => b"hello",
    };
    get(target, &path, wish.token, until)
}

/// A GET that upgrades where the wire is WebSocket.
pub(super) fn get(target: &Target, path: &str, token: Option<&str>, until: &'static [u8]) -> Step {
    let mut send = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n", target.host);
    if let Some(token) = token {
        send.push_str("authorization: Bearer ");
        send.push_str(token);
        send.push_str("\r\n");
    }
    match target.wire {
        Wire::Ws => send.push_str(UPGRADE),
        Wire::Sse => send.push_str("accept: text/event-stream\r\n"),
        Wire::Poll => {}
    }
    send.push_str("\r\n");
    Step {
        send: send.into_bytes(),
        until,
    }
}

/// A POST with an authorization, where there is one.
pub(super) fn post(target: &Target, out: &mut Vec<u8>, path: &str, headers: &str, body: &[u8]) {
    let authorization = target.credential.as_ref();
    let authorization = authorization.map_or_else(String::new, |credential| {
        format!("authorization: Bearer {credential}\r\n")
    });
    post_plain(target, out, path, &(authorization + headers), body);
}

/// A POST with these headers alone.
pub(super) fn post_plain(
    target: &Target,
    out: &mut Vec<u8>,
    path: &str,
    headers: &str,
    body: &[u8],
) {
    write!(
        out,
        "POST {path} HTTP/1.1\r\nhost: {}\r\n{headers}content-length: {}\r\n\r\n",
        target.host,
        body.len()
    )
    .expect("memory takes it");
    out.extend_from_slice(body);
}

pub(super) fn publish(target: &Target, out: &mut Vec<u8>, channel: &str, payload: &[u8]) {
    post(target, out, &format!("/v1/channels/{channel}"), "", payload);
}

pub(super) fn publish_batch(target: &Target, out: &mut Vec<u8>, items: &[(String, Vec<u8>)]) {
    let mut body = Vec::new();
    body.push(b'[');
    for (nth, (channel, payload)) in items.iter().enumerate() {
        if nth > 0 {
            body.push(b',');
        }
        write!(body, "{{\"channel\":\"{channel}\",\"data\":").expect("memory takes it");
        body.extend_from_slice(payload);
        body.push(b'}');
    }
    body.push(b']');
    post(target, out, "/v1/publish", "", &body);
}

/// The first whole response in these bytes.
///
/// # Errors
/// It is no 2xx, or not understood.
pub(crate) fn response(bytes: &[u8]) -> Result<Option<Response<'_>>> {
    let Some(head) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..head]).context("a response head that is no text")?;
    let status = text.split(' ').nth(1).unwrap_or_default();
    let start = head + 4;
    let header = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    let rest = &bytes[start..];
    let found = match header("content-length") {
        Some(length) => {
            let length: usize = length.parse().context("a content-length")?;
            rest.get(..length).map(|body| (length, body))
        }
        None if header("transfer-encoding").is_some() => chunked(rest)?,
        None => Some((0, &rest[..0])),
    };
    if !status.starts_with('2') {
        let body = found.map_or(rest, |(_, body)| body);
        bail!(
            "{} {}",
            text.lines().next().unwrap_or_default(),
            String::from_utf8_lossy(body)
        );
    }
    Ok(found.map(|(length, body)| Response {
        length: start + length,
        body,
    }))
}

/// A chunked body of at most one chunk, as small answers come: what it takes, and what it holds.
fn chunked(bytes: &[u8]) -> Result<Option<(usize, &[u8])>> {
    let Some(line) = memchr::memmem::find(bytes, b"\r\n") else {
        return Ok(None);
    };
    let digits = std::str::from_utf8(&bytes[..line])?;
    let length = usize::from_str_radix(digits.trim(), 16).context("the length of a chunk")?;
    let end: &[u8] = if length == 0 {
        b"\r\n"
    } else {
        b"\r\n0\r\n\r\n"
    };
    let start = line + 2;
    let whole = start.saturating_add(length).saturating_add(end.len());
    if bytes.len() < whole {
        return Ok(None);
    }
    if &bytes[start + length..whole] != end {
        bail!("an answer in several chunks");
    }
    Ok(Some((whole, &bytes[start..start + length])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_taken_when_it_is_whole_and_leaves_the_next_one() {
        let two = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n";
        let found = response(two).unwrap().unwrap();
        assert_eq!((found.length, found.body), (two.len() - 17, &b"{}"[..]));
        assert_eq!(response(&two[..39]).unwrap(), None);
        let chunks =
            b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
        let found = response(chunks).unwrap().unwrap();
        assert_eq!((found.length, found.body), (chunks.len(), &b"ok"[..]));
    }

    #[test]
    fn a_refusal_is_told_in_the_servers_words() {
        let refused = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnope";
        let error = response(refused).unwrap_err().to_string();
        assert_eq!(error, "HTTP/1.1 403 Forbidden nope");
    }
}
