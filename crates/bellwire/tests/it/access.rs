//! Who may do what, from which page, on which listener, and that no secret reaches the log.

use bellwire_testkit::{
    credentials::{self, ApiKey, api_key, jwt_key},
    http::{Answer, Request},
    process::Server,
    raw::{Transport, WebSocket, Wish},
};
use serde_json::json;

use crate::{Secured, binary, dev, secured};

const FOREIGN: &str = "https://evil.example";

/// Everything that streams or changes state.
fn guarded() -> Vec<Request> {
    vec![
        Request::get("/v1/sse?channel=a"),
        Request::post("/v1/sse", r#"{"channels":["a"]}"#),
        Request::get("/v1/poll?channel=a"),
        Request::post("/v1/poll", r#"{"channels":["a"]}"#),
        upgrade("/v1/ws?channel=a"),
        Request::post("/v1/publish", r#"{"channel":"a","data":1}"#),
        Request::post("/v1/channels/a", "1"),
        Request::post("/v1/users/ann", "1"),
    ]
}

fn upgrade(target: &str) -> Request {
    Request::get(target)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

fn code(answer: &Answer) -> String {
    let code = answer.json()["code"].as_str().map(str::to_owned);
    code.unwrap_or_else(|| panic!("no code in {}", answer.text()))
}

/// Whether a request is refused for this reason.
fn refused(server: &Server, request: &Request, expected: &str) {
    let answer = request.send(server.address());
    assert_eq!(answer.status(), 403, "{request:?}: {}", answer.text());
    assert_eq!(code(&answer), expected, "{request:?}");
}

#[test]
fn foreign_pages_are_refused_in_every_mode() {
    let Secured { server, key } = secured(&[]);
    let dev_public = binary().args(["--dev-public"]).start();
    let dev_key = dev_key(&dev_public);
    let dev = dev();
    // Development mode takes pages of this machine, whatever their port.
    let (foreign, nearby) = (
        [FOREIGN, "null", "http://localhost.evil.example"],
        "http://127.0.0.1:1",
    );
    for (server, admin, token, takes_nearby) in [
        (&server, server.admin(), Some(key.text.as_str()), false),
        (&dev, dev.address(), None, true),
        (
            &dev_public,
            dev_public.address(),
            Some(dev_key.as_str()),
            true,
        ),
    ] {
        for request in guarded() {
            let request = request.bearer(token);
            for origin in foreign {
                refused(
                    server,
                    &request.clone().header("origin", origin),
                    "origin_refused",
                );
            }
            if !takes_nearby {
                refused(server, &request.header("origin", nearby), "origin_refused");
            }
        }
        let closing = Request::new("DELETE", "/v1/users/ann/connections").bearer(token);
        let answer = closing.clone().header("origin", FOREIGN).send(admin);
        assert_eq!(code(&answer), "origin_refused");
        assert_eq!(closing.send(admin).status(), 200);
    }
}

#[test]
fn own_and_allowed_pages_are_welcome() {
    let Secured { server, key } = secured(&["--allow-origin", "https://*.example.com"]);
    let publish = Request::post("/v1/channels/a", "1").bearer(Some(&key.text));
    let own = format!("http://{}", server.address());
    for origin in [own.as_str(), "https://app.example.com"] {
        let answer = publish
            .clone()
            .header("origin", origin)
            .send(server.address());
        assert_eq!(answer.status(), 200, "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(origin));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    for origin in ["https://example.com.evil.example", "http://app.example.com"] {
        let answer = publish
            .clone()
            .header("origin", origin)
            .send(server.address());
        assert_eq!(code(&answer), "origin_refused", "{origin}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    server.await_log("--allow-origin");
    let preflight = |origin: &str| {
        let request = Request::new("OPTIONS", "/v1/sse?channel=a").header("origin", origin);
        request
            .header("access-control-request-headers", "last-event-id")
            .send(server.address())
    };
    let granted = preflight("https://app.example.com");
    assert_eq!(granted.status(), 204);
    assert!(
        granted
            .header("access-control-allow-headers")
            .unwrap()
            .contains("last-event-id")
    );
    assert_eq!(
        preflight(FOREIGN).header("access-control-allow-origin"),
        None
    );
}

#[test]
fn development_mode_answers_this_machine_only() {
    let server = dev();
    for request in guarded() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "169.254.1.1",
            "localhost.evil",
        ] {
            refused(
                &server,
                &request.clone().header("host", host),
                "host_refused",
            );
        }
        for name in [
            "x-forwarded-for",
            "forwarded",
            "via",
            "x-real-ip",
            "x-forwarded-host",
        ] {
            refused(
                &server,
                &request.clone().header(name, "203.0.113.9"),
                "forwarded_refused",
            );
        }
    }
    for host in [
        "localhost",
        "LOCALHOST:99",
        "app.localhost",
        "127.7.7.7:1",
        "[::1]:2355",
    ] {
        let request = Request::post("/v1/channels/a", "1").header("host", host);
        assert_eq!(request.send(server.address()).status(), 200, "{host}");
    }
}

#[test]
fn development_mode_listens_on_loopback_only() {
    let refuse = |arguments: &[&str], listen: &str, key: &str| {
        let mut process = binary().args(arguments).listen(listen).spawn();
        let status = process.wait(bellwire_testkit::wait::SOON);
        assert!(!status.success());
        let log = process.log();
        assert!(log.contains(key) && log.contains("--dev-public"), "{log}");
    };
    refuse(&["--dev"], "0.0.0.0:0", "listen");
    refuse(&["--dev"], "[::]:0", "listen");
    refuse(
        &["--dev", "--admin-listen", "0.0.0.0:0"],
        "127.0.0.1:0",
        "admin-listen",
    );
}

/// The key that `--dev-public` prints.
fn dev_key(server: &Server) -> String {
    let log = server.log();
    let (_, key) = log
        .split_once("/?key=")
        .expect("the introduction has a key");
    key.lines().next().expect("a line").trim().to_owned()
}

#[test]
fn public_development_mode_asks_for_its_key() {
    let server = binary().args(["--dev-public"]).listen("0.0.0.0:0").start();
    let address = ([127, 0, 0, 1], server.address().port()).into();
    let key = dev_key(&server);
    let publish = Request::post("/v1/channels/a", "1").header("host", "phone.example:2355");
    assert_eq!(publish.send(address).status(), 401);
    assert_eq!(
        publish.clone().bearer(Some(&key)).send(address).status(),
        200
    );
    assert_eq!(
        publish
            .clone()
            .bearer(Some("dev_wrong"))
            .send(address)
            .status(),
        401
    );
    let forwarded = publish
        .clone()
        .bearer(Some(&key))
        .header("x-forwarded-for", "203.0.113.9");
    assert_eq!(code(&forwarded.send(address)), "forwarded_refused");
    assert_eq!(Request::get("/").send(address).status(), 401);
    let opened = Request::get(&format!("/?key={key}")).send(address);
    let cookie = opened
        .header("set-cookie")
        .expect("it signs the browser in");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(publish.header("cookie", pair).send(address).status(), 200);
}

#[test]
fn anonymous_rights_come_from_namespaces_alone() {
    let directory = std::env::temp_dir().join(format!("bellwire-access-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("bellwire.toml");
    std::fs::write(
        &path,
        "[[namespace]]\nmatch = \"public:*\"\nanonymous = [\"subscribe\"]\n\
         [[namespace]]\nmatch = \"public:closed\"\n\
         [[namespace]]\nmatch = \"wall:*\"\nanonymous = [\"subscribe\", \"publish\", \"history\"]\n",
    )
    .unwrap();
    let server = binary().args(["--config", path.to_str().unwrap()]).start();
    let status = |request: Request| request.send(server.address()).status();
    assert_eq!(status(Request::get("/v1/poll?channel=public:a")), 200);
    assert_eq!(status(Request::get("/v1/poll?channel=public:closed")), 401);
    assert_eq!(status(Request::get("/v1/poll?channel=private")), 401);
    assert_eq!(status(Request::post("/v1/channels/public:a", "1")), 401);
    assert_eq!(status(Request::get("/v1/channels/public:a/history")), 401);
    assert_eq!(
        status(Request::get(
            "/v1/poll?channel=public:a&cursor=earliest&timeout=0"
        )),
        401
    );
    assert_eq!(status(Request::post("/v1/channels/wall:a", "1")), 200);
    assert_eq!(status(Request::get("/v1/channels/wall:a/history")), 200);
    assert_eq!(
        status(Request::get(
            "/v1/poll?channel=wall:a&cursor=earliest&timeout=0"
        )),
        200
    );
    // A bad credential is refused even where none would do.
    let forged = Request::get("/v1/poll?channel=public:a").bearer(Some("forged"));
    assert_eq!(status(forged), 401);
    for transport in Transport::ALL {
        let mut stream = transport.open(server.address(), &Wish::to(["public:a"]));
        stream.hello();
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn an_api_key_does_what_its_scopes_say() {
    let keys = [
        api_key("publishr", "publish:room:*"),
        api_key("readerab", "read:room:*"),
        api_key("inboxesa", "publish:@*"),
        api_key("managera", "manage"),
        api_key("metricsa", "metrics"),
    ];
    let mut arguments = vec!["--jwt-key".to_owned(), jwt_key()];
    for key in &keys {
        arguments.extend(["--api-key".to_owned(), key.line.clone()]);
    }
    let server = binary().args(&arguments).start();
    let status = |request: &Request, nth: usize, admin: bool| {
        let address = if admin {
            server.admin()
        } else {
            server.address()
        };
        request
            .clone()
            .bearer(Some(&keys[nth].text))
            .send(address)
            .status()
    };
    let check = |request: Request, admin: bool, expected: [u16; 4]| {
        let got = [0, 1, 2, 3].map(|nth| status(&request, nth, admin));
        assert_eq!(got, expected, "{request:?}");
    };
    check(
        Request::post("/v1/channels/room:1", "1"),
        false,
        [200, 403, 403, 403],
    );
    check(
        Request::post("/v1/channels/other", "1"),
        false,
        [403, 403, 403, 403],
    );
    check(
        Request::post("/v1/users/ann", "1"),
        false,
        [403, 403, 200, 200],
    );
    check(
        Request::post("/v1/channels/@ann", "1"),
        false,
        [403, 403, 200, 200],
    );
    check(
        Request::get("/v1/channels/room:1/history"),
        false,
        [403, 200, 403, 403],
    );
    check(
        Request::get("/v1/channels/@ann/history"),
        false,
        [403, 403, 403, 200],
    );
    check(Request::get("/v1/connections"), true, [403, 403, 403, 200]);
    check(
        Request::new("DELETE", "/v1/users/ann/connections"),
        true,
        [403, 403, 403, 200],
    );
    let item = json!({"channel": "room:1", "data": 1, "user": "ann"});
    check(
        Request::post("/v1/publish", item.to_string()),
        false,
        [200, 403, 403, 403],
    );
}

#[test]
fn a_listing_shows_what_may_be_read() {
    let keys = [
        api_key("allofall", "publish:*,publish:@*"),
        api_key("readerab", "read:room:*"),
        api_key("managera", "manage"),
    ];
    let lines = keys.iter().flat_map(|key| ["--api-key", key.line.as_str()]);
    let server = binary().args(lines).start();
    for path in ["/v1/channels/room:1", "/v1/channels/other", "/v1/users/ann"] {
        let request = Request::post(path, "1").bearer(Some(&keys[0].text));
        assert_eq!(request.send(server.address()).status(), 200);
    }
    let listed = |key: &ApiKey| {
        let answer = Request::get("/v1/channels")
            .bearer(Some(&key.text))
            .send(server.address());
        let rows = answer.json()["channels"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let names = rows
            .iter()
            .map(|row| row["channel"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(listed(&keys[1]), ["room:1"]);
    assert!(
        listed(&keys[2]).contains(&"@ann".to_owned()),
        "{:?}",
        listed(&keys[2])
    );
}

#[test]
fn operations_answer_on_the_admin_listener_alone() {
    let Secured { server, key } = secured(&[]);
    let status = |path: &str, admin: bool| {
        let address = if admin {
            server.admin()
        } else {
            server.address()
        };
        Request::get(path)
            .bearer(Some(&key.text))
            .send(address)
            .status()
    };
    for path in ["/metrics", "/v1/connections"] {
        assert_eq!(
            (status(path, false), status(path, true)),
            (404, 200),
            "{path}"
        );
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(
            (status(path, false), status(path, true)),
            (200, 200),
            "{path}"
        );
    }
    for path in ["/v1/channels", "/v1/channels/a/history", "/openapi.json"] {
        assert_eq!(
            (status(path, false), status(path, true)),
            (200, 404),
            "{path}"
        );
    }
    // The start page and the echo belong to development.
    assert_eq!((status("/", false), status("/v1/echo", false)), (404, 404));
    // On loopback metrics need no key, the rest does.
    assert_eq!(Request::get("/metrics").send(server.admin()).status(), 200);
    assert_eq!(
        Request::get("/v1/connections")
            .send(server.admin())
            .status(),
        401
    );

    let dev = dev();
    for path in ["/metrics", "/v1/connections", "/v1/channels", "/", "/livez"] {
        assert_eq!(
            Request::get(path).send(dev.address()).status(),
            200,
            "{path}"
        );
    }
    let off = binary()
        .args(["--jwt-key", &jwt_key(), "--admin-listen", "off"])
        .start();
    assert_eq!(Request::get("/metrics").send(off.address()).status(), 404);
    assert!(off.log().contains("operations off"), "{}", off.log());
}

#[test]
fn no_secret_reaches_the_log_or_the_metrics() {
    let Secured { server, key } = secured(&["--log-level", "trace"]);
    let token = credentials::token("ann", &json!({"subscribe": ["*"], "publish": ["*"]}));
    let grant = credentials::grant("room:7", &["subscribe"]);
    let forged = credentials::signed(&json!({"sub": "mallory"}), "wrong");
    for transport in Transport::ALL {
        let wish = Wish::to(["news"]).with("grant", &grant);
        transport
            .open(server.address(), &wish.clone().with_token(&token))
            .hello();
        transport
            .open(server.address(), &wish.with("token", &token))
            .hello();
        let refused = Wish::to(["news"]).with("token", &forged);
        assert_eq!(
            transport
                .try_open(server.address(), &refused)
                .unwrap_err()
                .status(),
            401
        );
    }
    let mut socket = WebSocket::open(server.address(), &Wish::to(["news"])).unwrap();
    socket.ask(&json!({"req": 1, "auth": {"token": token}}));
    let cookie = format!("bellwire_token={token}");
    let by_cookie = Request::get("/v1/poll?channel=news").header("cookie", &cookie);
    assert_eq!(by_cookie.send(server.address()).status(), 200);
    let publish = Request::post("/v1/channels/news", "\"a private word\"");
    assert_eq!(
        publish
            .bearer(Some(&key.text))
            .send(server.address())
            .status(),
        200
    );
    let foreign = Request::get(&format!("/v1/sse?channel=news&token={token}"));
    assert_eq!(
        foreign
            .header("origin", FOREIGN)
            .send(server.address())
            .status(),
        403
    );
    drop(socket);
    let metrics = Request::get("/metrics").send(server.admin()).text();
    server.terminate();
    server.await_log("draining");
    let log = server.log() + &metrics;
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    let secrets = [
        signature(&token),
        signature(&grant),
        signature(&forged),
        credentials::SECRET.to_owned(),
        key.text,
        "a private word".to_owned(),
    ];
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in:\n{log}");
    }
}
