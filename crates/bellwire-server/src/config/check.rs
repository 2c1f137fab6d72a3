//! Rules that span several settings.

use bellwire_core::engine::Durability;

use super::{AdminListen, ConfigError, EngineKind, Loaded};

/// What the HTTP library reads of a head at least.
const HEAD_BYTES: usize = 8 << 10;
/// The longest id and the dot before it.
const SEGMENT_BYTES: usize = 30;

/// Everything that does not fit together.
pub(super) fn check(loaded: &Loaded) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let mut fail = |key: &'static str, message: String| {
        errors.push(ConfigError {
            source_of_value: loaded.origin(key).clone(),
            key: key.to_owned(),
            message,
        });
    };
    listeners(loaded, &mut fail);
    access(loaded, &mut fail);
    tls(loaded, &mut fail);
    let config = &loaded.config;
    if config.heartbeat.as_secs() < 1 {
        fail(
            "heartbeat",
            "it is under a second; write 20s, or 1s at least".to_owned(),
        );
    }
    let limits = &config.limits;
    if limits.max_head_bytes < HEAD_BYTES {
        let message = "it is under what is read in any case; write 8KiB at least";
        fail("limits.max_head_bytes", message.to_owned());
    }
    let needed = limits
        .max_channels_per_connection
        .saturating_mul(SEGMENT_BYTES);
    if needed > limits.max_cursor_bytes {
        let channels = limits.max_channels_per_connection;
        let message = format!(
            "a cursor of {channels} channels may take {needed} bytes; \
             raise limits.max_cursor_bytes or lower this"
        );
        fail("limits.max_channels_per_connection", message);
    }
    if limits.max_message_bytes > limits.max_body_bytes {
        fail(
            "limits.max_message_bytes",
            "it is over limits.max_body_bytes; raise that too".into(),
        );
    }
    if limits.max_body_bytes > limits.body_bytes {
        fail(
            "limits.max_body_bytes",
            "it is over limits.body_bytes; raise that too".into(),
        );
    }
    for namespace in &config.namespace {
        let EngineKind::Memory = config.engine;
        if namespace.durability != Durability::Memory {
            let message = format!(
                "{}: the memory engine can't promise {}; write memory",
                namespace.pattern,
                namespace.durability.as_str()
            );
            fail("namespace", message);
        }
    }
    errors
}

fn listeners(loaded: &Loaded, fail: &mut impl FnMut(&'static str, String)) {
    let config = &loaded.config;
    let admin = match config.admin_listen {
        AdminListen::At(address) => Some(address),
        AdminListen::Standard | AdminListen::Off => None,
    };
    if admin == Some(config.listen) && config.listen.port() != 0 {
        fail(
            "admin_listen",
            format!(
                "{} is the main listener's; take another port",
                config.listen
            ),
        );
    }
    if config.proxy_protocol {
        let wrong = if config.dev {
            Some("development mode answers nobody behind a proxy; use tokens without --dev")
        } else if config.trusted_proxy.is_empty() {
            Some("nobody would get in; name the balancer's address with --trusted-proxy")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            fail("proxy_protocol", wrong.to_owned());
        }
    }
    if !config.dev || config.dev_public {
        return;
    }
    for (key, address) in [("listen", Some(config.listen)), ("admin_listen", admin)] {
        if let Some(address) = address
            && !address.ip().to_canonical().is_loopback()
        {
            let message = format!(
                "--dev opens access to everybody who reaches {address}; \
                 listen on 127.0.0.1, or use --dev-public, which asks for a key"
            );
            fail(key, message);
        }
    }
}

/// Both files or neither; and that they are a certificate and its key.
fn tls(loaded: &Loaded, fail: &mut impl FnMut(&'static str, String)) {
    let tls = &loaded.config.tls;
    match (&tls.certificate, &tls.key) {
        (None, None) => {}
        (Some(_), None) => fail(
            "tls.certificate",
            "it needs its private key; set tls.key too".to_owned(),
        ),
        (None, Some(_)) => fail(
            "tls.key",
            "it has no use without a certificate; set tls.certificate too".to_owned(),
        ),
        (Some(certificate), Some(key)) => {
            if let Err(error) = crate::tls::read_pair(certificate, key) {
                fail(error.setting, error.message);
            }
        }
    }
}

fn access(loaded: &Loaded, fail: &mut impl FnMut(&'static str, String)) {
    let config = &loaded.config;
    for (i, key) in config.jwt_key.iter().enumerate() {
        let kid = key.kid();
        if kid.is_some()
            && config
                .jwt_key
                .iter()
                .take(i)
                .any(|other| other.kid() == kid)
        {
            let kid = kid.unwrap_or_default();
            fail(
                "jwt_key",
                format!("the key id {kid:?} is there twice; give each key its own"),
            );
        }
    }
    for (i, key) in config.api_key.iter().enumerate() {
        if config
            .api_key
            .iter()
            .take(i)
            .any(|other| other.id() == key.id())
        {
            fail("api_key", format!("the id {:?} is there twice", key.id()));
        }
    }
    if config.jwt_key.is_empty()
        && !(config.jwt_issuer.is_empty() && config.jwt_audience.is_empty())
    {
        let key = if config.jwt_issuer.is_empty() {
            "jwt_audience"
        } else {
            "jwt_issuer"
        };
        fail(key, "it has no use without a jwt_key".to_owned());
    }
    if config.jwt_leeway.as_secs() > 600 {
        fail(
            "jwt_leeway",
            "over 10min tokens hardly expire; write 30s".to_owned(),
        );
    }
}
