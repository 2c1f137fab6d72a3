//! Configuration: layers, mistakes, printing.

use std::path::PathBuf;

use bellwire_server::config::{ConfigErrors, Layers, Loaded, SETTINGS, Source, load, print};

/// A file that goes away with the test.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("bellwire-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn variables(pairs: &[(&str, &str)]) -> std::vec::IntoIter<(String, String)> {
    let pairs = pairs
        .iter()
        .map(|&(name, text)| (name.to_owned(), text.to_owned()));
    pairs.collect::<Vec<_>>().into_iter()
}

fn from_file(name: &str, text: &str) -> Result<Loaded, ConfigErrors> {
    let file = File::new(name, text);
    load(&Layers::default().with_file(&file.0))
}

fn from_flag(flag: &str, value: &str) -> Result<Loaded, ConfigErrors> {
    load(&Layers::default().with_flag(flag, vec![value.to_owned()]))
}

#[test]
fn a_flag_beats_a_variable_and_a_variable_beats_the_file() {
    let file = File::new(
        "layers.toml",
        "heartbeat = \"5s\"\nshards = 3\n\n[drain]\ndelay = \"1s\"\n",
    );
    let loaded = load(
        &Layers::default()
            .with_file(&file.0)
            .with_environment(variables(&[
                ("BELLWIRE_SHARDS", "4"),
                ("BELLWIRE_DRAIN_DELAY", "2s"),
                ("HOME", "/root"),
            ]))
            .with_flag("drain-delay", vec!["3s".to_owned()]),
    )
    .unwrap();
    assert_eq!(loaded.config.heartbeat.as_secs(), 5);
    assert_eq!(
        *loaded.origin("heartbeat"),
        Source::File {
            path: file.0.clone(),
            line: 1
        }
    );
    assert_eq!(loaded.config.shards, Some(4));
    assert_eq!(
        *loaded.origin("shards"),
        Source::Environment("BELLWIRE_SHARDS".to_owned())
    );
    assert_eq!(loaded.config.drain.delay.as_secs(), 3);
    assert_eq!(loaded.origin("drain.delay").to_string(), "--drain-delay");
    assert_eq!(*loaded.origin("listen"), Source::Default);
}

#[test]
fn every_setting_takes_its_own_printed_default_back() {
    let printed = print(&load(&Layers::default()).unwrap());
    let file = File::new("printed.toml", &printed);
    let again = load(&Layers::default().with_file(&file.0)).unwrap();
    let strip = |text: &str| {
        let lines = text
            .lines()
            .map(|line| line.split("  # ").next().unwrap().to_owned());
        lines.collect::<Vec<_>>()
    };
    assert_eq!(strip(&print(&again)), strip(&printed));
}

#[test]
fn names_are_unique_and_documented() {
    let mut flags: Vec<_> = SETTINGS
        .iter()
        .filter_map(|setting| setting.flag())
        .collect();
    let count = flags.len();
    flags.sort();
    flags.dedup();
    assert_eq!(flags.len(), count);
    assert!(SETTINGS.iter().all(|setting| !setting.help.is_empty()));
}

#[test]
fn mistakes_name_their_source_key_and_remedy() {
    let file = File::new(
        "mistakes.toml",
        "heartbeet = \"5s\"\n\n[limits]\nmax_batch = 0\nmax_message_bytes = \"1 parsec\"\n\
         max_chanels = 7\n\n[drain]\ndelay = [\"1s\"]\n",
    );
    let errors = load(&Layers::default().with_file(&file.0))
        .unwrap_err()
        .to_string();
    let path = file.0.display();
    for expected in [
        format!("{path}:1: heartbeet: unknown setting; did you mean heartbeat?"),
        format!("{path}:4: limits.max_batch: 0 is too small; the least is 1"),
        format!(
            "{path}:5: limits.max_message_bytes: \"1 parsec\" is not a size; write 65536, 64KiB"
        ),
        format!("{path}:6: limits.max_chanels: unknown setting; did you mean limits.max_channels?"),
        format!("{path}:9: drain.delay: it takes one value, not a list"),
    ] {
        assert!(
            errors.contains(&expected),
            "{expected}\nis not in\n{errors}"
        );
    }
}

#[test]
fn a_key_in_the_wrong_section_is_found() {
    let errors = from_file("section.toml", "max_channels = 7\n")
        .unwrap_err()
        .to_string();
    assert!(
        errors.ends_with("did you mean limits.max_channels?"),
        "{errors}"
    );
}

#[test]
fn broken_toml_names_its_line() {
    let errors = from_file("broken.toml", "shards = 2\nlisten = \n")
        .unwrap_err()
        .to_string();
    assert!(errors.contains("broken.toml:2: TOML: "), "{errors}");
    let missing = load(&Layers::default().with_file("/nowhere/bellwire.toml"));
    assert!(missing.unwrap_err().to_string().contains("can't be read"));
}

#[test]
fn unknown_variables_are_mistakes_but_those_of_the_platform_are_not() {
    let errors =
        load(&Layers::default().with_environment(variables(&[("BELLWIRE_LISSEN", "127.0.0.1:1")])));
    let errors = errors.unwrap_err().to_string();
    assert_eq!(
        errors,
        "BELLWIRE_LISSEN: unknown setting; did you mean BELLWIRE_LISTEN?"
    );
    let strange = load(&Layers::default().with_environment(variables(&[("BELLWIRE_FOO", "1")])));
    let strange = strange.unwrap_err().to_string();
    assert_eq!(
        strange,
        "BELLWIRE_FOO: unknown setting; bellwire config print lists all"
    );
    let platform = variables(&[
        ("BELLWIRE_SERVICE_HOST", "10.0.0.1"),
        ("BELLWIRE_SERVICE_PORT_HTTP", "2355"),
        ("BELLWIRE_PORT", "tcp://10.0.0.1:2355"),
        ("BELLWIRE_PORT_2355_TCP", "tcp://10.0.0.1:2355"),
        ("BELLWIRE_PORT_2355_TCP_ADDR", "10.0.0.1"),
        ("BELLWIRE_PORT_2355_TCP_PORT", "2355"),
        ("BELLWIRE_PORT_2355_TCP_PROTO", "tcp"),
        ("BELLWIRE_CREDENTIAL", "x"),
        ("BELLWIRE_URL", "http://localhost:2355"),
    ]);
    load(&Layers::default().with_environment(platform)).unwrap();
}

#[test]
fn values_are_refused_with_what_to_write() {
    for (flag, value, remedy) in [
        ("listen", "2355", "write 127.0.0.1:2355"),
        ("admin-listen", "of", "or off"),
        (
            "engine",
            "redis",
            "the redis engine is not built into this version",
        ),
        (
            "engine",
            "disk",
            "is not an engine; this version has memory",
        ),
        ("shards", "0", "the least is 1"),
        ("retry", "3s..1s", "runs backwards"),
        ("heartbeat", "20", "write 250ms, 20s"),
        ("heartbeat", "10ms", "write 20s"),
        ("log-format", "xml", "not one of auto, json, text"),
        ("log-level", "loud", "not one of error, warn"),
        ("allow-origin", "*", "would let every page connect"),
        ("trusted-proxy", "10.0.0.0/33", "write 10.0.0.7"),
        ("jwt-key", "secret", "write [KID=]HS256:SECRET"),
        (
            "jwt-key",
            "HS512:secret",
            "\"HS512\" is not one of HS256, ES256, EdDSA, RS256",
        ),
        ("jwt-key", "ES256:abc", "ES256 needs a PEM file"),
        (
            "jwt-key",
            "ES256:@/nowhere.pem",
            "/nowhere.pem can't be read",
        ),
        ("jwt-issuer", "me", "it has no use without a jwt_key"),
        (
            "limits-max-channels-per-connection",
            "200",
            "raise limits.max_cursor_bytes",
        ),
        ("limits-max-message-bytes", "1GiB", "raise that too"),
        ("limits-max-head-bytes", "4KiB", "write 8KiB at least"),
        ("api-key", "abc", "as bellwire token key prints it"),
    ] {
        let errors = from_flag(flag, value).unwrap_err().to_string();
        assert!(errors.starts_with(&format!("--{flag}: ")), "{errors}");
        assert!(errors.contains(remedy), "{flag} {value}: {errors}");
    }
}

#[test]
fn keys_of_the_wrong_kind_are_refused_without_being_shown() {
    for (key, remedy) in [
        ("ES256:@es256.private.pem", "is a private key"),
        ("RS256:@rs256.private.pem", "is a private key"),
        (
            "ES256:@rs256.public.pem",
            "is not a public key of that kind",
        ),
        (
            "RS256:@es256.public.pem",
            "is not a public key of that kind",
        ),
        (
            "EdDSA:@es256.public.pem",
            "is not a public key of that kind",
        ),
        ("ES256:@p384.public.pem", "is not on P-256"),
    ] {
        let (algorithm, file) = key.split_once('@').unwrap();
        let path = crate::access::key_file(file);
        let errors = from_flag("jwt-key", &format!("{algorithm}@{path}"))
            .unwrap_err()
            .to_string();
        assert!(errors.contains(remedy), "{key}: {errors}");
        assert!(!errors.contains("BEGIN"), "{errors}");
    }
}

#[test]
fn development_mode_stays_on_loopback() {
    let open = |flags: &[(&str, &str)]| {
        let mut layers = Layers::default();
        for (flag, value) in flags {
            layers = layers.with_flag(flag, vec![(*value).to_owned()]);
        }
        load(&layers)
    };
    let errors = open(&[("dev", "true"), ("listen", "0.0.0.0:2355")])
        .unwrap_err()
        .to_string();
    assert!(
        errors.starts_with("--listen: --dev opens access"),
        "{errors}"
    );
    assert!(open(&[("dev", "true"), ("admin-listen", "[::]:2356")]).is_err());
    let public = open(&[("dev-public", "true"), ("listen", "0.0.0.0:2355")]).unwrap();
    assert!(public.config.dev, "it is a development mode too");
    assert_eq!(public.config.admin_address(), None);
    assert!(open(&[("listen", "[::1]:2355"), ("admin-listen", "[::1]:2355")]).is_err());
    let plain = load(&Layers::default()).unwrap().config;
    assert_eq!(plain.admin_address().unwrap().to_string(), "127.0.0.1:2356");
}

#[test]
fn secrets_come_from_files_and_are_never_printed() {
    let secret = "a very secret secret that nobody may see";
    let hash = "5".repeat(64);
    let keys = File::new("keys", &format!("HS256:{secret}\n\nold=HS256:{secret}2\n"));
    let text = format!(
        "jwt_key = [\"new=HS256:{secret}3\"]\njwt_key_file = {:?}\n\n\
         [[api_key]]\nid = \"abcd1234\"\nsha256 = \"{hash}\"\nscopes = [\"publish:*\", \"manage\"]\n",
        keys.0
    );
    let loaded = from_file("secrets.toml", &text).unwrap();
    assert_eq!(loaded.config.jwt_key.len(), 3);
    let printed = print(&loaded);
    let debugged = format!("{:?}", loaded.config.jwt_key);
    assert!(
        !printed.contains(secret) && !debugged.contains(secret),
        "{printed}"
    );
    assert!(!printed.contains(&hash), "{printed}");
    assert!(
        printed.contains("new=HS256:***") && printed.contains("id = \"abcd1234\""),
        "{printed}"
    );
    let path = keys.0.display().to_string();
    let variables = variables(&[("BELLWIRE_JWT_KEY_FILE", path.as_str())]);
    let loaded = load(&Layers::default().with_environment(variables)).unwrap();
    assert_eq!(loaded.config.jwt_key.len(), 2);
    let by_flag = from_flag("jwt-key-file", &path).unwrap();
    assert_eq!(by_flag.config.jwt_key.len(), 2);
}

#[test]
fn short_secrets_are_warned_of() {
    let warnings = from_flag("jwt-key", "HS256:short")
        .unwrap()
        .config
        .warnings();
    assert!(
        warnings[0].contains("HS256:***") && !warnings[0].contains("short"),
        "{warnings:?}"
    );
}

#[test]
fn namespaces_are_read_and_the_longest_match_wins() {
    let text = "\
        [history]\ncount = 50\n\n\
        [[namespace]]\nmatch = \"*\"\nanonymous = [\"subscribe\"]\n\n\
        [[namespace]]\nmatch = \"room:*\"\nhistory.count = 7\nhistory.age = \"1h\"\n\
        max_delay = \"20ms\"\n";
    let config = from_file("namespaces.toml", text).unwrap().config;
    let namespaces = config.namespaces();
    let of = |name| {
        namespaces
            .of(&bellwire_core::channel::Channel::parse(name).unwrap())
            .clone()
    };
    assert_eq!(
        (of("room:7").history.count, of("room:7").max_delay_ms),
        (7, 20)
    );
    assert_eq!(of("room:7").history.age_ms, 3_600_000);
    assert_eq!(
        of("news").history.count,
        50,
        "what a namespace leaves out is as for all"
    );
    assert!(of("news").anonymous.subscribe && !of("room:7").anonymous.subscribe);
    assert!(
        !of("@ann").anonymous.subscribe,
        "no pattern reaches an inbox"
    );
}

#[test]
fn mistakes_in_namespaces_are_explained() {
    for (body, remedy) in [
        ("anonymous = [\"subscribe\"]", "match is missing"),
        ("match = \"room*\"", "prefix ending in"),
        ("match = \"a\"\nanonymus = []", "did you mean anonymous?"),
        (
            "match = \"a\"\nanonymous = [\"read\"]",
            "not one of subscribe, publish",
        ),
        ("match = \"a\"\nanonymous = \"subscribe\"", "wrong shape"),
        (
            "match = \"a\"\ndurability = \"disk\"",
            "the memory engine can't promise disk",
        ),
    ] {
        let errors = from_file("namespace.toml", &format!("[[namespace]]\n{body}\n")).unwrap_err();
        assert!(errors.to_string().contains(remedy), "{body}: {errors}");
    }
}
