//! Servers of the Pusher protocol: a WebSocket with JSON events, and an HTTP API that is signed.
//!
//! The signature covers the method, the path and the sorted query, in which an MD5 of the body
//! stands: Pusher's HTTP API, "Generating authentication signatures".

use std::{
    fmt::Write,
    time::{SystemTime, UNIX_EPOCH},
};

use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use serde_json::Value;
use sha2::Sha256;

use super::{
    Step, Target, Wish,
    http::{get, post_plain},
    text_frame,
};

/// Application id, key and secret.
fn credential(target: &Target) -> [&str; 3] {
    let mut parts = target
        .credential
        .as_deref()
        .unwrap_or_default()
        .splitn(3, ':');
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

pub(super) fn subscribe(target: &Target, wish: Wish<'_>) -> Vec<Step> {
    let [_, key, _] = credential(target);
    let path = format!("/app/{key}?protocol=7&client=bellwire-bench&version=1");
    let mut steps = vec![get(target, &path, None, b"connection_established")];
    steps.extend(wish.channels.iter().map(|channel| Step {
        send: text_frame(&format!(
            "{{\"event\":\"pusher:subscribe\",\"data\":{{\"channel\":\"{channel}\"}}}}"
        )),
        until: b"subscription_succeeded",
    }));
    steps
}

pub(super) fn publish(target: &Target, out: &mut Vec<u8>, channel: &str, payload: &[u8]) {
    let [id, key, secret] = credential(target);
    let data = Value::from(String::from_utf8_lossy(payload));
    let body = format!("{{\"name\":\"message\",\"channel\":\"{channel}\",\"data\":{data}}}");
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let path = signed(&format!("/apps/{id}/events"), key, secret, seconds, &body);
    let content_type = "content-type: application/json\r\n";
    post_plain(target, out, &path, content_type, body.as_bytes());
}

fn signed(path: &str, key: &str, secret: &str, seconds: u64, body: &str) -> String {
    let md5 = hex(&Md5::digest(body.as_bytes()));
    let query = format!("auth_key={key}&auth_timestamp={seconds}&auth_version=1.0&body_md5={md5}");
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("POST\n{path}\n{query}").as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    format!("{path}?{query}&auth_signature={signature}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory takes it");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_is_signed_as_in_the_protocols_worked_example() {
        let body = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        let path = signed(
            "/apps/3/events",
            "278d425bdf160c739803",
            "7ad3773142a6692b25b8",
            1_353_088_179,
            body,
        );
        assert_eq!(
            path,
            "/apps/3/events?auth_key=278d425bdf160c739803&auth_timestamp=1353088179\
             &auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f\
             &auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
        );
    }
}
