//! Why an upgrade request is refused, and what tells the client to mend it. The API layer turns
//! this into a problem document; the codes are listed in `spec/codes`.

/// A reason to refuse an upgrade request, each with its own status, code and fix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
#[non_exhaustive]
pub enum Refusal {
    /// The method is not GET.
    Method,
    /// The request did not come over HTTP/1.1.
    HttpVersion,
    /// There is no `Upgrade` header.
    UpgradeMissing,
    /// `Upgrade` does not name `websocket`.
    UpgradeUnknown,
    /// There is no `Connection` header.
    ConnectionMissing,
    /// `Connection` does not name `Upgrade`.
    ConnectionNotUpgrade,
    /// There is no `Sec-WebSocket-Version`.
    VersionMissing,
    /// `Sec-WebSocket-Version` is not 13.
    VersionUnsupported,
    /// `Sec-WebSocket-Version` comes more than once.
    VersionDuplicate,
    /// There is no `Sec-WebSocket-Key`.
    KeyMissing,
    /// `Sec-WebSocket-Key` is not the base64 of 16 bytes.
    KeyMalformed,
    /// `Sec-WebSocket-Key` comes more than once.
    KeyDuplicate,
    /// `Sec-WebSocket-Protocol` is not a list of tokens.
    ProtocolMalformed,
}

impl Refusal {
    /// Every refusal, for tables and tests.
    pub const ALL: [Self; 13] = [
        Self::Method,
        Self::HttpVersion,
        Self::UpgradeMissing,
        Self::UpgradeUnknown,
        Self::ConnectionMissing,
        Self::ConnectionNotUpgrade,
        Self::VersionMissing,
        Self::VersionUnsupported,
        Self::VersionDuplicate,
        Self::KeyMissing,
        Self::KeyMalformed,
        Self::KeyDuplicate,
        Self::ProtocolMalformed,
    ];

    /// The HTTP status of the answer.
    pub fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::UpgradeMissing
            | Self::UpgradeUnknown
            | Self::VersionMissing
            | Self::VersionUnsupported => 426,
            Self::HttpVersion
            | Self::ConnectionMissing
            | Self::ConnectionNotUpgrade
            | Self::VersionDuplicate
            | Self::KeyMissing
            | Self::KeyMalformed
            | Self::KeyDuplicate
            | Self::ProtocolMalformed => 400,
        }
    }

    /// Header fields that the status obliges the answer to carry (RFC 9110 §15.5.6, §15.5.22;
    /// RFC 6455 §4.4).
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self.status() {
            405 => &[("allow", "GET")],
            426 => &[
                ("upgrade", "websocket"),
                ("connection", "upgrade"),
                ("sec-websocket-version", super::VERSION),
            ],
            _ => &[],
        }
    }

    /// The stable code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Method => "websocket_method",
            Self::HttpVersion => "websocket_http_version",
            Self::UpgradeMissing => "websocket_upgrade_missing",
            Self::UpgradeUnknown => "websocket_upgrade_unknown",
            Self::ConnectionMissing => "websocket_connection_missing",
            Self::ConnectionNotUpgrade => "websocket_connection_not_upgrade",
            Self::VersionMissing => "websocket_version_missing",
            Self::VersionUnsupported => "websocket_version_unsupported",
            Self::VersionDuplicate => "websocket_version_duplicate",
            Self::KeyMissing => "websocket_key_missing",
            Self::KeyMalformed => "websocket_key_malformed",
            Self::KeyDuplicate => "websocket_key_duplicate",
            Self::ProtocolMalformed => "websocket_protocol_malformed",
        }
    }

    /// What is wrong and how to mend it, for people.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Method => "a WebSocket is opened with GET",
            Self::HttpVersion => {
                "a WebSocket is opened over HTTP/1.1; behind nginx set `proxy_http_version 1.1`"
            }
            Self::UpgradeMissing => {
                "send `Upgrade: websocket`; a proxy in between must pass the header on \
                 (nginx: `proxy_set_header Upgrade $http_upgrade`)"
            }
            Self::UpgradeUnknown => "only `Upgrade: websocket` is understood here",
            Self::ConnectionMissing => {
                "send `Connection: Upgrade`; a proxy in between must set it \
                 (nginx: `proxy_set_header Connection \"upgrade\"`)"
            }
            Self::ConnectionNotUpgrade => {
                "`Connection` must name `Upgrade`; a proxy in between must set it \
                 (nginx: `proxy_set_header Connection \"upgrade\"`)"
            }
            Self::VersionMissing => "send `Sec-WebSocket-Version: 13`",
            Self::VersionUnsupported => "only version 13 is understood here",
            Self::VersionDuplicate => "send `Sec-WebSocket-Version` once",
            Self::KeyMissing => "send `Sec-WebSocket-Key` with the base64 of 16 random bytes",
            Self::KeyMalformed => "`Sec-WebSocket-Key` must be the base64 of 16 bytes, padded",
            Self::KeyDuplicate => "send `Sec-WebSocket-Key` once",
            Self::ProtocolMalformed => {
                "`Sec-WebSocket-Protocol` must be tokens separated by commas, none of them empty"
            }
        }
    }

    /// The header at fault; `None` where it is the request line.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Self::Method | Self::HttpVersion => None,
            Self::UpgradeMissing | Self::UpgradeUnknown => Some("Upgrade"),
            Self::ConnectionMissing | Self::ConnectionNotUpgrade => Some("Connection"),
            Self::VersionMissing | Self::VersionUnsupported | Self::VersionDuplicate => {
                Some("Sec-WebSocket-Version")
            }
            Self::KeyMissing | Self::KeyMalformed | Self::KeyDuplicate => Some("Sec-WebSocket-Key"),
            Self::ProtocolMalformed => Some("Sec-WebSocket-Protocol"),
        }
    }
}
