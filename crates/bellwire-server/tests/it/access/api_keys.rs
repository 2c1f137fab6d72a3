//! API keys: made once, stored hashed, compared whole.

use bellwire_core::access::{Right, Scopes};
use bellwire_core::{channel::Channel, namespace::Namespaces};
use bellwire_server::access::{StoredKey, generate_api_key};

use super::{gate, now};

fn scopes(words: &[&str]) -> Scopes {
    let mut scopes = Scopes::default();
    for word in words {
        scopes.add(word).unwrap();
    }
    scopes
}

#[test]
fn a_made_key_opens_what_its_scopes_say() {
    let (text, stored) = generate_api_key(scopes(&["publish:room:*", "metrics"])).unwrap();
    assert_eq!(text.len(), 3 + 8 + 1 + 32);
    let gate = gate(&[("api-key", &[&stored.one_line()])]);
    let access = gate.authenticator().token(&text, now()).unwrap();
    assert_eq!(access.publisher_identity(), format!("key:{}", stored.id()));
    let room = Channel::parse("room:7").unwrap();
    assert!(
        access
            .check(Right::Publish, &room, &Namespaces::default())
            .is_ok()
    );
    assert!(
        access
            .check(Right::History, &room, &Namespaces::default())
            .is_err()
    );
    assert!(access.may_read_metrics().is_ok() && access.may_manage().is_err());
    assert!(!stored.lines().contains(&text), "the secret is not stored");
}

#[test]
fn wrong_keys_are_refused_by_name() {
    let (text, stored) = generate_api_key(scopes(&["manage"])).unwrap();
    let (other, _) = generate_api_key(scopes(&["manage"])).unwrap();
    let gate = gate(&[("api-key", &[&stored.one_line()])]);
    let check = |key: &str| gate.authenticator().token(key, now()).unwrap_err().check;
    let mut wrong = text.clone();
    wrong.pop();
    wrong.push(if text.ends_with('a') { 'b' } else { 'a' });
    assert_eq!(check(&wrong), "key.secret");
    assert_eq!(check(&other), "key.unknown");
    assert_eq!(check("bw_"), "key.malformed");
    assert_eq!(check(&format!("{text}x")), "key.malformed");
    assert_eq!(check(&text.to_uppercase()), "token.malformed");
}

#[test]
fn stored_keys_are_checked_when_read() {
    let hash = "0".repeat(64);
    assert!(StoredKey::parse(&format!("abcd1234:{hash}:publish:*,manage")).is_ok());
    for bad in [
        String::new(),
        "abcd1234".to_owned(),
        format!("abcd123:{hash}:manage"),
        format!("abcd1234:{hash}0:manage"),
        format!("abcd1234:{}:manage", "g".repeat(64)),
        format!("abcd1234:{hash}:"),
        format!("abcd1234:{hash}:own"),
    ] {
        assert!(StoredKey::parse(&bad).is_err(), "{bad}");
    }
}
