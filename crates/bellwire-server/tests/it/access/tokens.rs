//! Tokens that are accepted, and what they come to.

use bellwire_core::{
    access::{Access, Right},
    channel::{Channel, UserId},
    namespace::{Namespaces, Rights},
    time::Now,
};
use jsonwebtoken::{Algorithm, EncodingKey};

use super::{NOW_S, SECRET, ann, gate_with_secret, hs256, key_file, keyring, now, signed};

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(key_file(name)).unwrap()
}

#[test]
fn each_algorithm_verifies_with_its_own_kind_of_key() {
    let payload = format!(r#"{{"sub":"ann","exp":{}}}"#, NOW_S + 60);
    let cases = [
        (
            "ES256",
            Algorithm::ES256,
            EncodingKey::from_ec_pem(&pem("es256.private.pem")).unwrap(),
        ),
        (
            "EdDSA",
            Algorithm::EdDSA,
            EncodingKey::from_ed_pem(&pem("eddsa.private.pem")).unwrap(),
        ),
        (
            "RS256",
            Algorithm::RS256,
            EncodingKey::from_rsa_pem(&pem("rs256.private.pem")).unwrap(),
        ),
    ];
    for (name, algorithm, key) in cases {
        let file = key_file(&format!("{}.public.pem", name.to_lowercase()));
        let ring = keyring(&[("jwt-key", &[&format!("{name}:@{file}")])]);
        let token = signed(&format!(r#"{{"alg":"{name}"}}"#), &payload, &key, algorithm);
        assert_eq!(
            ring.token(&token, now()).unwrap().user.as_str(),
            "ann",
            "{name}"
        );
    }
}

#[test]
fn the_key_id_selects_among_several_keys() {
    let other = "another secret of these tests, 32 bytes";
    let ring = keyring(&[(
        "jwt-key",
        &[
            &format!("old=HS256:{other}"),
            &format!("new=HS256:{SECRET}"),
        ],
    )]);
    let payload = format!(r#"{{"sub":"ann","exp":{}}}"#, NOW_S + 60);
    let sign = |kid: &str, secret: &str| {
        let key = EncodingKey::from_secret(secret.as_bytes());
        signed(
            &format!(r#"{{"alg":"HS256"{kid}}}"#),
            &payload,
            &key,
            Algorithm::HS256,
        )
    };
    assert!(ring.token(&sign(r#","kid":"old""#, other), now()).is_ok());
    assert!(ring.token(&sign(r#","kid":"new""#, SECRET), now()).is_ok());
    assert!(
        ring.token(&sign("", SECRET), now()).is_ok(),
        "without a kid every key is tried"
    );
    assert_eq!(
        ring.token(&sign(r#","kid":"old""#, SECRET), now())
            .unwrap_err()
            .check,
        "token.signature"
    );
    assert_eq!(
        ring.token(&sign(r#","kid":"../../etc/passwd""#, SECRET), now())
            .unwrap_err()
            .check,
        "token.kid"
    );
}

#[test]
fn a_key_without_an_id_takes_tokens_that_name_one() {
    let ring = keyring(&[("jwt-key", &[&format!("HS256:{SECRET}")])]);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let payload = format!(r#"{{"sub":"ann","exp":{}}}"#, NOW_S + 60);
    let token = signed(
        r#"{"alg":"HS256","kid":"2026-11"}"#,
        &payload,
        &key,
        Algorithm::HS256,
    );
    assert!(ring.token(&token, now()).is_ok());
}

#[test]
fn an_audience_that_nobody_asks_for_does_no_harm() {
    let ring = keyring(&[("jwt-key", &[&format!("HS256:{SECRET}")])]);
    assert!(
        ring.token(
            &ann(r#""aud":["api","web"],"iss":"https://id.example""#),
            now()
        )
        .is_ok()
    );
    let strict = keyring(&[
        ("jwt-key", &[&format!("HS256:{SECRET}")]),
        ("jwt-audience", &["push", "web"]),
        ("jwt-issuer", &["https://id.example"]),
    ]);
    assert!(
        strict
            .token(
                &ann(r#""aud":["api","web"],"iss":"https://id.example""#),
                now()
            )
            .is_ok()
    );
    assert!(
        strict
            .token(&ann(r#""aud":"push","iss":"https://id.example""#), now())
            .is_ok()
    );
}

#[test]
fn clocks_may_differ_by_half_a_minute() {
    let ring = keyring(&[("jwt-key", &[&format!("HS256:{SECRET}")])]);
    let at = |exp: u64, nbf: u64| {
        let token = hs256(&format!(r#"{{"sub":"ann","exp":{exp},"nbf":{nbf}}}"#));
        ring.token(&token, now())
            .map(|verified| verified.expires)
            .map_err(|e| e.check)
    };
    assert_eq!(
        at(NOW_S + 5, NOW_S),
        Ok((NOW_S + 5) * 1_000),
        "a connection ends at exp"
    );
    assert_eq!(
        at(NOW_S - 29, 0),
        Ok((NOW_S + 1) * 1_000),
        "or when the leeway is over"
    );
    assert_eq!(at(NOW_S - 30, 0), Err("token.exp"));
    assert_eq!(at(NOW_S + 60, NOW_S + 30), Ok((NOW_S + 60) * 1_000));
    assert_eq!(at(NOW_S + 60, NOW_S + 31), Err("token.nbf"));
}

#[test]
fn verified_tokens_are_remembered_until_they_expire_and_within_bounds() {
    let gate = gate_with_secret(&[("limits-max-cached-tokens", &["8"])]);
    let verifier = gate.authenticator();
    let token = ann("");
    let first = verifier.token(&token, now()).unwrap();
    let again = verifier.token(&token, now()).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &again));
    drop((first, again));
    let over = Now {
        mono: 0,
        wall: (NOW_S + 3_630) * 1_000,
    };
    assert_eq!(
        verifier.token(&token, over).unwrap_err().code,
        "token_expired"
    );
    for user in 0..100 {
        let token = hs256(&format!(r#"{{"sub":"u{user}","exp":{}}}"#, NOW_S + 60));
        assert!(verifier.token(&token, now()).is_ok());
    }
    assert!(
        gate.verifier().cached_tokens() <= 8,
        "{}",
        gate.verifier().cached_tokens()
    );
}

#[test]
fn a_grant_adds_its_channel_and_may_belong_to_a_user() {
    let gate = gate_with_secret(&[]);
    let verifier = gate.authenticator();
    let exp = NOW_S + 60;
    let body = r#""bellwire":{"grant":"room:7","rights":["subscribe","history"]}"#;
    let open = hs256(&format!(r#"{{"exp":{exp},{body}}}"#));
    let grant = verifier.grant(&open, &Access::anonymous(), now()).unwrap();
    assert_eq!(grant.channel, Channel::parse("room:7").unwrap());
    assert_eq!(
        grant.rights,
        Rights {
            subscribe: true,
            history: true,
            ..Rights::default()
        }
    );
    assert_eq!((grant.expires, &grant.user), (exp * 1_000, &None));
    let allowed = Access::anonymous().check_with(
        Right::Subscribe,
        &grant.channel,
        &Namespaces::default(),
        std::slice::from_ref(&grant),
        now().wall,
    );
    assert_eq!(allowed.unwrap().until, Some(exp * 1_000));

    let bound = hs256(&format!(r#"{{"exp":{exp},"sub":"ann",{body}}}"#));
    let access = verifier.token(&ann(""), now()).unwrap();
    let grant = verifier.grant(&bound, &access, now()).unwrap();
    assert_eq!(grant.user, Some(UserId::parse("ann").unwrap()));
    let refused = verifier
        .grant(&bound, &Access::anonymous(), now())
        .unwrap_err();
    assert_eq!(
        (refused.check, refused.code),
        ("grant.sub", "grant_invalid")
    );
}

#[test]
fn grants_and_tokens_are_not_each_other() {
    let gate = gate_with_secret(&[]);
    let verifier = gate.authenticator();
    let grant = ann(r#""bellwire":{"grant":"room:7","rights":["subscribe"]}"#);
    assert_eq!(
        verifier.token(&grant, now()).unwrap_err().check,
        "token.grant"
    );
    let access = Access::anonymous();
    let refused = verifier.grant(&ann(""), &access, now()).unwrap_err();
    assert_eq!(
        (refused.check, refused.code),
        ("grant.channel", "grant_invalid")
    );
    let inbox = hs256(&format!(
        r#"{{"exp":{},"bellwire":{{"grant":"@bob"}}}}"#,
        NOW_S + 60
    ));
    assert_eq!(
        verifier.grant(&inbox, &access, now()).unwrap_err().check,
        "grant.channel"
    );
    let old = hs256(&format!(
        r#"{{"exp":{},"bellwire":{{"grant":"a"}}}}"#,
        NOW_S - 60
    ));
    assert_eq!(
        verifier.grant(&old, &access, now()).unwrap_err().code,
        "grant_expired"
    );
}
