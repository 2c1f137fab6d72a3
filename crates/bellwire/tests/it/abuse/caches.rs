//! A cache in front, as greedy as nginx can be made without ignoring what the server says: nobody
//! gets what somebody else was sent.

use bellwire_testkit::{
    credentials::token,
    frontend::Frontend,
    http::{Link, Request},
};
use serde_json::json;

use crate::secured;

fn nginx(server: std::net::SocketAddr) -> Frontend {
    let proxy = format!(
        "proxy_pass http://{server}/; proxy_http_version 1.1; proxy_cache all;
         proxy_cache_key $request_method$request_uri; proxy_cache_methods GET HEAD POST;
         proxy_cache_valid any 10m; add_header x-cache $upstream_cache_status always;"
    );
    Frontend::nginx(&format!(
        "proxy_cache_path DIRECTORY/cache keys_zone=all:1m;
         server {{
           listen LISTEN;
           location / {{ {proxy} }}
           location /careless/ {{
             {proxy}
             proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires;
           }}
         }}"
    ))
}

#[test]
fn a_cache_never_serves_one_user_what_another_got() {
    let secured = secured(&["--allow-origin", "https://app.example.com"]);
    let nginx = nginx(secured.server.address());
    let users = ["ann", "bob"].map(|name| {
        let rights = json!({"subscribe": ["room:*"], "history": ["room:*"]});
        (format!("for {name} alone"), token(name, &rights))
    });
    for (name, (word, _)) in ["ann", "bob"].iter().zip(&users) {
        secured.post(&format!("/v1/users/{name}"), word.as_str());
    }
    let by = |nth: usize, how: &str, target: &str| {
        let token = &users[nth].1;
        let request = Request::get(target).header("origin", "https://app.example.com");
        match how {
            "cookie" => request.header("cookie", &format!("bellwire_token={token}")),
            _ => request.bearer(Some(token)),
        }
    };
    let poll = "/v1/poll?channel=@me&cursor=earliest&timeout=0";
    for how in ["cookie", "bearer"] {
        for target in [
            poll,
            "/v1/channels/@ann/history",
            "/v1/channels/@bob/history",
        ] {
            let target = format!(
                "{target}{}by={how}",
                if target.contains('?') { '&' } else { '?' }
            );
            for _ in 0..2 {
                for (nth, other) in [(0, 1), (1, 0)] {
                    let answer = by(nth, how, &target).send(nginx.address());
                    assert_ne!(answer.header("x-cache"), Some("HIT"), "{target}");
                    assert!(!answer.text().contains(&users[other].0), "{target}");
                }
            }
        }
        let target = format!("/v1/sse?channel=@me&cursor=earliest&by={how}");
        for (nth, other) in [(0, 1), (1, 0), (0, 1)] {
            let mut link = Link::connect(nginx.address());
            link.send(&by(nth, how, &target));
            let head = link.head();
            assert_eq!((head.status, head.header("x-cache")), (200, Some("MISS")));
            let mut text = String::new();
            while !text.contains(&users[nth].0) {
                let some = link.read_some(std::time::Instant::now() + bellwire_testkit::wait::SOON);
                text += &String::from_utf8_lossy(&some.unwrap().expect("the stream goes on"));
                assert!(!text.contains(&users[other].0), "{text}");
            }
        }
    }
    let refused = Request::get("/v1/poll?channel=room:1").send(nginx.address());
    assert_eq!(refused.status(), 401);
    let welcome = by(0, "bearer", "/v1/poll?channel=room:1").send(nginx.address());
    assert_eq!(welcome.status(), 200, "a refusal is not cached either");

    // The cache is there: told to ignore what the server says, it does the harm.
    let careless = format!("/careless{poll}");
    let first = by(0, "bearer", &careless).send(nginx.address());
    assert!(first.text().contains(&users[0].0), "{}", first.text());
    let second = by(1, "bearer", &careless).send(nginx.address());
    assert_eq!(second.header("x-cache"), Some("HIT"));
    assert!(second.text().contains(&users[0].0), "{}", second.text());
}
