//! Who may do what to which channel.

use super::*;
use crate::{channel::Pattern, namespace::Namespace};

fn channel(name: &str) -> Channel {
    Channel::parse(name).unwrap()
}

fn patterns(list: &[&str]) -> Box<[Pattern]> {
    list.iter()
        .map(|text| Pattern::parse(text).unwrap())
        .collect()
}

fn ann(subscribe: &[&str]) -> Access {
    let permissions = Permissions {
        subscribe: patterns(subscribe),
        ..Permissions::default()
    };
    Access::user_until(UserId::parse("ann").unwrap(), Arc::new(permissions), 10_000)
}

fn key(scopes: &[&str]) -> Access {
    let mut all = Scopes::default();
    for scope in scopes {
        all.add(scope).unwrap();
    }
    Access::api_key(Arc::new(ApiKey {
        id: "abcdefgh".into(),
        scopes: all,
    }))
}

fn check(access: &Access, right: Right, name: &str) -> Result<(), &'static str> {
    access
        .check(right, &channel(name), &Namespaces::default())
        .map_err(|denied| denied.check)
}

fn open_lobby() -> Namespaces {
    let standard = Namespaces::default().of(&channel("x")).clone();
    let rights = Rights {
        subscribe: true,
        ..Rights::default()
    };
    let everything = Namespace {
        anonymous: rights,
        ..standard
    };
    Namespaces::new(vec![everything.clone()], everything)
}

#[test]
fn a_token_reaches_what_its_patterns_cover() {
    let access = ann(&["room:*", "news"]);
    for (name, expected) in [
        ("room:7", Ok(())),
        ("news", Ok(())),
        ("newsletter", Err("subscribe")),
        ("rooms", Err("subscribe")),
        ("@ann", Ok(())),
        ("@bob", Err("user")),
    ] {
        assert_eq!(check(&access, Right::Subscribe, name), expected, "{name}");
    }
    assert_eq!(check(&access, Right::History, "@ann"), Ok(()));
    assert_eq!(check(&access, Right::History, "room:7"), Err("history"));
    assert_eq!(check(&access, Right::Publish, "@ann"), Err("publish"));
}

#[test]
fn a_lone_star_is_no_key_to_inboxes() {
    assert_eq!(check(&ann(&["*"]), Right::Subscribe, "@bob"), Err("user"));
    assert_eq!(
        check(&key(&["publish:*", "read:*"]), Right::Publish, "@bob"),
        Err("publish")
    );
    assert_eq!(
        check(&key(&["publish:*", "read:*"]), Right::History, "@bob"),
        Err("history")
    );
}

#[test]
fn api_keys_do_what_their_scopes_say_and_never_subscribe() {
    let access = key(&["publish:room:*", "read:@*"]);
    assert_eq!(check(&access, Right::Publish, "room:7"), Ok(()));
    assert_eq!(check(&access, Right::Publish, "news"), Err("publish"));
    assert_eq!(check(&access, Right::Publish, "@ann"), Err("publish"));
    assert_eq!(check(&access, Right::History, "@ann"), Ok(()));
    assert_eq!(check(&access, Right::Presence, "room:7"), Err("presence"));
    assert_eq!(
        check(&key(&["read:*"]), Right::Subscribe, "news"),
        Err("subscribe")
    );
    let manager = key(&["manage"]);
    assert_eq!(check(&manager, Right::Publish, "@ann"), Ok(()));
    assert_eq!(check(&manager, Right::Publish, "news"), Err("publish"));
    assert!(manager.may_manage().is_ok() && manager.may_read_metrics().is_err());
}

#[test]
fn listings_show_inboxes_only_to_managers() {
    assert!(!key(&["read:@*"]).sees(&channel("@ann")));
    assert!(key(&["manage"]).sees(&channel("@ann")));
    assert!(key(&["read:room:*"]).sees(&channel("room:7")));
    assert_eq!(key(&["publish:*"]).may_list().unwrap_err().check, "read");
    assert_eq!(ann(&["*"]).may_list().unwrap_err().check, "read");
}

#[test]
fn what_namespaces_give_everybody_stops_at_inboxes() {
    let namespaces = open_lobby();
    for access in [Access::anonymous(), ann(&[]), key(&["metrics"])] {
        assert!(
            access
                .check(Right::Subscribe, &channel("lobby"), &namespaces)
                .is_ok()
        );
        assert!(
            access
                .check(Right::Publish, &channel("lobby"), &namespaces)
                .is_err()
        );
        assert!(
            access
                .check(Right::Subscribe, &channel("@bob"), &namespaces)
                .is_err()
        );
    }
    assert_eq!(
        check(&Access::anonymous(), Right::Subscribe, "lobby"),
        Err("subscribe")
    );
}

#[test]
fn development_mode_may_do_everything() {
    for right in [
        Right::Subscribe,
        Right::Publish,
        Right::History,
        Right::Presence,
    ] {
        assert_eq!(check(&Access::dev(), right, "@ann"), Ok(()));
    }
    assert!(Access::dev().may_manage().is_ok() && Access::dev().sees(&channel("@ann")));
}

#[test]
fn a_grant_adds_one_channel_until_it_ends() {
    let rights = Rights {
        subscribe: true,
        ..Rights::default()
    };
    let grant = Grant {
        channel: channel("room:7"),
        rights,
        expires: 500,
        user: None,
    };
    let ask = |access: &Access, right, name, grants: &[Grant], now| {
        access
            .check_with(right, &channel(name), &Namespaces::default(), grants, now)
            .map(|allowed| allowed.until)
            .map_err(|denied| denied.check)
    };
    let nobody = Access::anonymous();
    let grants = [grant.clone()];
    assert_eq!(
        ask(&nobody, Right::Subscribe, "room:7", &grants, 499),
        Ok(Some(500))
    );
    assert_eq!(
        ask(&nobody, Right::Subscribe, "room:7", &grants, 500),
        Err("grant_expired")
    );
    assert_eq!(
        ask(&nobody, Right::Subscribe, "room:8", &grants, 1),
        Err("subscribe")
    );
    assert_eq!(
        ask(&nobody, Right::History, "room:7", &grants, 1),
        Err("history")
    );
    assert_eq!(
        ask(&ann(&["room:*"]), Right::Subscribe, "room:7", &grants, 999),
        Ok(None)
    );
    let longer = Grant {
        expires: 900,
        ..grant.clone()
    };
    let both = [longer, grant.clone()];
    assert_eq!(
        ask(&nobody, Right::Subscribe, "room:7", &both, 1),
        Ok(Some(900))
    );
    let for_bob = [Grant {
        user: Some(UserId::parse("bob").unwrap()),
        ..grant
    }];
    assert_eq!(
        ask(&ann(&[]), Right::Subscribe, "room:7", &for_bob, 1),
        Err("subscribe")
    );
}

#[test]
fn publishers_have_distinct_identities() {
    assert_eq!(ann(&[]).publisher_identity(), "user:ann");
    assert_eq!(key(&[]).publisher_identity(), "key:abcdefgh");
    assert_eq!(Access::anonymous().publisher_identity(), "anonymous");
}

#[test]
fn an_access_ends_at_its_expiry() {
    assert!(!ann(&[]).is_expired(9_999) && ann(&[]).is_expired(10_000));
    assert_eq!(ann(&[]).expires_at(), Some(10_000));
    assert_eq!(Access::anonymous().expires_at(), None);
    assert!(!Access::dev().is_expired(u64::MAX - 1));
}

#[test]
fn an_access_is_small() {
    // One per user: with its Arc, a short user id and its place in the token cache 100 bytes.
    assert!(size_of::<Access>() <= 40, "{}", size_of::<Access>());
}

#[test]
fn scopes_are_read_and_written_alike() {
    let words = [
        "publish:*",
        "publish:@*",
        "read:room:*",
        "manage",
        "metrics",
    ];
    let mut scopes = Scopes::default();
    for word in words {
        scopes.add(word).unwrap();
    }
    assert_eq!(scopes.to_words(), words);
    for bad in [
        "",
        "publish",
        "publish:",
        "read:@ann",
        "write:*",
        "manage:*",
        "publish:a*",
    ] {
        assert!(Scopes::default().add(bad).is_err(), "{bad}");
    }
}
