//! Tokens that must be refused, each with the check that refuses it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bellwire_server::access::Keyring;
use jsonwebtoken::{Algorithm, EncodingKey};

use super::{NOW_S, SECRET, ann, hs256, key_file, keyring, now, signed};

const EXP: u64 = NOW_S + 3_600;

fn strict() -> Keyring {
    keyring(&[
        (
            "jwt-key",
            &[
                &format!("app=HS256:{SECRET}"),
                &format!("web=RS256:@{}", key_file("rs256.public.pem")),
                &format!("ec=ES256:@{}", key_file("es256.public.pem")),
            ],
        ),
        ("jwt-issuer", &["https://id.example"]),
        ("jwt-audience", &["push"]),
    ])
}

/// Everything right but what a case changes.
const GOOD: &str = r#""sub":"ann","iss":"https://id.example","aud":"push""#;

fn good() -> String {
    hs256(&format!(r#"{{{GOOD},"exp":{EXP}}}"#))
}

fn claims(payload: &str) -> String {
    hs256(payload)
}

fn header(text: &str) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    signed(
        text,
        &format!(r#"{{{GOOD},"exp":{EXP}}}"#),
        &key,
        Algorithm::HS256,
    )
}

fn unsigned(text: &str) -> String {
    let payload = format!(r#"{{{GOOD},"exp":{EXP}}}"#);
    format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(text),
        URL_SAFE_NO_PAD.encode(payload)
    )
}

/// An HMAC whose secret is the text of a public key: what a verifier computes that lets the
/// token's header choose the algorithm.
fn confused(file: &str, text: &str) -> String {
    let key = EncodingKey::from_secret(&std::fs::read(key_file(file)).unwrap());
    signed(
        text,
        &format!(r#"{{{GOOD},"exp":{EXP}}}"#),
        &key,
        Algorithm::HS256,
    )
}

fn refused(cases: &[(&str, String, &str)]) {
    let ring = strict();
    assert!(ring.token(&good(), now()).is_ok());
    for (what, token, check) in cases {
        match ring.token(token, now()) {
            Ok(_) => panic!("{what}: accepted"),
            Err(refusal) => assert_eq!(refusal.check, *check, "{what}: {refusal}"),
        }
    }
}

#[test]
fn the_header_does_not_choose_the_algorithm() {
    refused(&[
        ("alg none", unsigned(r#"{"alg":"none"}"#), "token.alg"),
        (
            "alg None with a kid",
            unsigned(r#"{"alg":"None","kid":"app"}"#),
            "token.alg",
        ),
        ("no alg", header(r#"{"typ":"JWT"}"#), "token.malformed"),
        (
            "alg not a string",
            header(r#"{"alg":["HS256"]}"#),
            "token.malformed",
        ),
        (
            "alg twice",
            header(r#"{"alg":"none","alg":"HS256"}"#),
            "token.malformed",
        ),
        (
            "header a list",
            header(r#"["HS256",null,null]"#),
            "token.malformed",
        ),
        (
            "HS384 by an HS256 key",
            header(r#"{"alg":"HS384","kid":"app"}"#),
            "token.alg",
        ),
        (
            "HMAC with the RSA public key, kid",
            confused("rs256.public.pem", r#"{"alg":"HS256","kid":"web"}"#),
            "token.alg",
        ),
        (
            "HMAC with the RSA public key, no kid",
            confused("rs256.public.pem", r#"{"alg":"HS256"}"#),
            "token.signature",
        ),
        (
            "HMAC with the EC public key, no kid",
            confused("es256.public.pem", r#"{"alg":"HS256"}"#),
            "token.signature",
        ),
        (
            "RS256 claimed over an HMAC",
            confused("rs256.public.pem", r#"{"alg":"RS256","kid":"web"}"#),
            "token.signature",
        ),
        (
            "ES256 claimed over an HMAC",
            confused("es256.public.pem", r#"{"alg":"ES256","kid":"ec"}"#),
            "token.signature",
        ),
        (
            "critical extension",
            header(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#),
            "token.crit",
        ),
    ]);
}

#[test]
fn the_key_id_is_compared_and_nothing_else() {
    refused(&[
        (
            "unknown",
            header(r#"{"alg":"HS256","kid":"other"}"#),
            "token.kid",
        ),
        (
            "a path",
            header(r#"{"alg":"HS256","kid":"/dev/null"}"#),
            "token.kid",
        ),
        (
            "an address",
            header(r#"{"alg":"HS256","kid":"https://evil.example/k"}"#),
            "token.kid",
        ),
        ("empty", header(r#"{"alg":"HS256","kid":""}"#), "token.kid"),
        (
            "NUL",
            header(r#"{"alg":"HS256","kid":"app\u0000"}"#),
            "token.kid",
        ),
        (
            "a number",
            header(r#"{"alg":"HS256","kid":7}"#),
            "token.malformed",
        ),
        (
            "another key's",
            header(r#"{"alg":"HS256","kid":"ec"}"#),
            "token.alg",
        ),
    ]);
}

#[test]
fn an_embedded_key_is_not_believed() {
    let key = EncodingKey::from_secret(b"the attacker's own secret, 32 bytes....");
    let payload = format!(r#"{{{GOOD},"exp":{EXP}}}"#);
    let jwk = r#"{"alg":"HS256","jwk":{"kty":"oct","k":"dGhl"},"jku":"https://evil.example"}"#;
    let token = signed(jwk, &payload, &key, Algorithm::HS256);
    refused(&[("its own key", token, "token.signature")]);
}

#[test]
fn times_are_required_numbers_of_seconds() {
    refused(&[
        ("no exp", claims(&format!("{{{GOOD}}}")), "token.exp"),
        (
            "null exp",
            claims(&format!(r#"{{{GOOD},"exp":null}}"#)),
            "token.exp",
        ),
        (
            "text exp",
            claims(&format!(r#"{{{GOOD},"exp":"{EXP}"}}"#)),
            "token.exp",
        ),
        (
            "list exp",
            claims(&format!(r#"{{{GOOD},"exp":[{EXP}]}}"#)),
            "token.exp",
        ),
        (
            "negative exp",
            claims(&format!(r#"{{{GOOD},"exp":-1}}"#)),
            "token.exp",
        ),
        (
            "endless exp",
            claims(&format!(r#"{{{GOOD},"exp":1e300}}"#)),
            "token.exp",
        ),
        (
            "milliseconds",
            claims(&format!(r#"{{{GOOD},"exp":{EXP}000}}"#)),
            "token.exp",
        ),
        (
            "expired",
            claims(&format!(r#"{{{GOOD},"exp":{}}}"#, NOW_S - 31)),
            "token.exp",
        ),
        (
            "exp twice",
            claims(&format!(r#"{{{GOOD},"exp":1,"exp":{EXP}}}"#)),
            "token.malformed",
        ),
        (
            "not yet",
            claims(&format!(r#"{{{GOOD},"exp":{EXP},"nbf":{EXP}}}"#)),
            "token.nbf",
        ),
        (
            "text nbf",
            claims(&format!(r#"{{{GOOD},"exp":{EXP},"nbf":"0"}}"#)),
            "token.nbf",
        ),
    ]);
}

#[test]
fn issuer_audience_and_user_must_fit() {
    let with = |text: &str| claims(&format!(r#"{{"exp":{EXP},{text}}}"#));
    let iss = r#""iss":"https://id.example""#;
    refused(&[
        (
            "no issuer",
            with(r#""sub":"ann","aud":"push""#),
            "token.iss",
        ),
        (
            "wrong issuer",
            with(r#""sub":"ann","aud":"push","iss":"https://id.example.evil""#),
            "token.iss",
        ),
        (
            "list issuer",
            with(r#""sub":"ann","aud":"push","iss":["https://id.example"]"#),
            "token.iss",
        ),
        (
            "no audience",
            with(&format!(r#""sub":"ann",{iss}"#)),
            "token.aud",
        ),
        (
            "wrong audience",
            with(&format!(r#""sub":"ann",{iss},"aud":["pushy"]"#)),
            "token.aud",
        ),
        (
            "mixed audience",
            with(&format!(r#""sub":"ann",{iss},"aud":["push",1]"#)),
            "token.aud",
        ),
        (
            "no sub",
            with(&format!(r#"{iss},"aud":"push""#)),
            "token.sub",
        ),
        (
            "number sub",
            with(&format!(r#""sub":7,{iss},"aud":"push""#)),
            "token.sub",
        ),
        (
            "empty sub",
            with(&format!(r#""sub":"",{iss},"aud":"push""#)),
            "token.sub",
        ),
        (
            "long sub",
            with(&format!(r#""sub":"{}",{iss},"aud":"push""#, "a".repeat(65))),
            "token.sub",
        ),
        (
            "sub twice",
            with(&format!(r#""sub":"bob","sub":"ann",{iss},"aud":"push""#)),
            "token.malformed",
        ),
    ]);
}

#[test]
fn the_lists_must_be_lists_of_patterns() {
    let with = |own: &str| claims(&format!(r#"{{{GOOD},"exp":{EXP},"bellwire":{own}}}"#));
    refused(&[
        ("text", with(r#""room:*""#), "token.bellwire"),
        ("a list", with(r#"[["room:*"]]"#), "token.bellwire"),
        (
            "subscribe is text",
            with(r#"{"subscribe":"room:*"}"#),
            "token.bellwire",
        ),
        (
            "subscribe holds a number",
            with(r#"{"subscribe":[1]}"#),
            "token.bellwire",
        ),
        (
            "subscribe twice",
            with(r#"{"subscribe":[],"subscribe":["*"]}"#),
            "token.bellwire",
        ),
        (
            "star inside",
            with(r#"{"subscribe":["a*b"]}"#),
            "token.bellwire",
        ),
        (
            "star without separator",
            with(r#"{"subscribe":["room*"]}"#),
            "token.bellwire",
        ),
        (
            "an inbox",
            with(r#"{"subscribe":["@bob"]}"#),
            "token.bellwire",
        ),
        (
            "all inboxes",
            with(r#"{"subscribe":["@*"]}"#),
            "token.bellwire",
        ),
    ]);
}

#[test]
fn damaged_and_huge_texts_are_refused_before_they_cost_anything() {
    let good = good();
    let mut flipped = good.clone().into_bytes();
    let middle = good.rfind('.').unwrap() - 5;
    flipped[middle] = if flipped[middle] == b'A' { b'B' } else { b'A' };
    let other = EncodingKey::from_secret(b"another secret, 32 bytes or more........");
    let payload = format!(r#"{{{GOOD},"exp":{EXP}}}"#);
    refused(&[
        ("empty", String::new(), "token.malformed"),
        ("dots", "..".to_owned(), "token.malformed"),
        (
            "two parts",
            good.rsplit_once('.').unwrap().0.to_owned(),
            "token.malformed",
        ),
        ("four parts", format!("{good}.x"), "token.malformed"),
        (
            "no signature",
            format!("{}.", good.rsplit_once('.').unwrap().0),
            "token.signature",
        ),
        (
            "cut signature",
            good.chars().take(good.len() - 4).collect(),
            "token.signature",
        ),
        (
            "changed payload",
            String::from_utf8(flipped).unwrap(),
            "token.signature",
        ),
        (
            "another secret",
            signed(r#"{"alg":"HS256"}"#, &payload, &other, Algorithm::HS256),
            "token.signature",
        ),
        ("padding", good.replacen('.', "=.", 1), "token.malformed"),
        ("not base64", format!("!!!{good}"), "token.malformed"),
        ("not UTF-8 safe", "é.é.é".to_owned(), "token.malformed"),
        ("payload not JSON", claims("exp"), "token.malformed"),
        (
            "payload a list",
            claims(&format!("[{EXP}]")),
            "token.malformed",
        ),
        (
            "deep payload",
            claims(&"[".repeat(3_000)),
            "token.malformed",
        ),
        (
            "huge",
            ann(&format!(r#""x":"{}""#, "x".repeat(8_192))),
            "token.size",
        ),
        ("ten megabytes", "x.".repeat(5_000_000), "token.size"),
    ]);
}

#[test]
fn an_empty_keyring_takes_no_tokens() {
    assert_eq!(
        keyring(&[]).token(&good(), now()).unwrap_err().check,
        "token.kid"
    );
}
