//! Errors as clients see them: `application/problem+json` and the table of error codes.
//!
//! The HTTP layer turns every refusal into a [`Problem`]; WebSocket replies and items of a batch
//! use its short form. `spec/codes.toml` lists the same codes for other languages, and a test
//! compares the two. Knows nothing of sockets and routes.

use bellwire_core::access::{Access, Denied, Refusal};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

/// Whether it makes sense for a client to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request fails again.
    No,
    /// Later, after `Retry-After` or a backoff.
    Yes,
    /// With a new token.
    NewToken,
}

impl Retry {
    /// The word in `spec/codes.toml`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Yes => "yes",
            Self::NewToken => "new_token",
        }
    }
}

/// One kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// The stable word that programs compare.
    pub name: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// What a client should do.
    pub retry: Retry,
    /// The same sentence for every error of this kind.
    pub title: &'static str,
}

macro_rules! error_codes {
    ($($constant:ident $name:literal $status:ident $retry:ident $title:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $title, ".")]
            pub const $constant: ErrorCode = ErrorCode {
                name: $name,
                status: StatusCode::$status,
                retry: Retry::$retry,
                title: $title,
            };
        )*
        /// Every error code, in the order of `spec/codes.toml`.
        pub const ERROR_CODES: &[ErrorCode] = &[$($constant),*];
    };
}

error_codes! {
    INVALID "invalid" BAD_REQUEST No "The request is not valid";
    UNAUTHORIZED "unauthorized" UNAUTHORIZED NewToken "Credentials are needed";
    TOKEN_INVALID "token_invalid" UNAUTHORIZED NewToken "The token is refused";
    TOKEN_EXPIRED "token_expired" UNAUTHORIZED NewToken "The token has expired";
    KEY_INVALID "key_invalid" UNAUTHORIZED No "The API key is refused";
    GRANT_INVALID "grant_invalid" FORBIDDEN No "The grant is refused";
    GRANT_EXPIRED "grant_expired" FORBIDDEN NewToken "The grant has expired";
    FORBIDDEN "forbidden" FORBIDDEN No "The credentials do not allow this";
    ORIGIN_REFUSED "origin_refused" FORBIDDEN No "The page's origin is not allowed";
    HOST_REFUSED "host_refused" FORBIDDEN No "Development mode answers on loopback only";
    FORWARDED_REFUSED "forwarded_refused" FORBIDDEN No "Development mode refuses proxies";
    NOT_FOUND "not_found" NOT_FOUND No "There is nothing here";
    METHOD_NOT_ALLOWED "method_not_allowed" METHOD_NOT_ALLOWED No "The method is not allowed here";
    TIMEOUT "timeout" REQUEST_TIMEOUT Yes "The request took too long to arrive";
    ALREADY_SUBSCRIBED "already_subscribed" CONFLICT No "The connection has this subscription";
    NOT_SUBSCRIBED "not_subscribed" CONFLICT No "The connection has no such subscription";
    IDEMPOTENCY_MISMATCH "idempotency_mismatch" CONFLICT No "The key was used for other bytes";
    TOO_LARGE "too_large" PAYLOAD_TOO_LARGE No "The body is too large";
    UPGRADE_REQUIRED "upgrade_required" UPGRADE_REQUIRED No "This is a WebSocket endpoint";
    LIMIT "limit" TOO_MANY_REQUESTS No "A limit of the connection is reached";
    RATE_LIMITED "rate_limited" TOO_MANY_REQUESTS Yes "Too many in a short time";
    TOO_MANY_CONNECTIONS "too_many_connections" TOO_MANY_REQUESTS Yes "Too many connections";
    HEAD_TOO_LARGE "head_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE No
        "The request line and headers are too large";
    INTERNAL "internal" INTERNAL_SERVER_ERROR Yes "The server has made a mistake";
    UNSUPPORTED "unsupported" NOT_IMPLEMENTED No "This server does not support this";
    OVERLOADED "overloaded" SERVICE_UNAVAILABLE Yes "The server is overloaded";
    UNAVAILABLE "unavailable" SERVICE_UNAVAILABLE Yes "The backplane is out of reach";
    DRAINING "draining" SERVICE_UNAVAILABLE Yes "The server is shutting down";
    IDEMPOTENCY_FULL "idempotency_full" SERVICE_UNAVAILABLE Yes
        "There is no room for another idempotency key";
}

/// Looks a code up by its word; core code names codes by their words.
#[must_use]
pub fn error_code(name: &str) -> Option<ErrorCode> {
    ERROR_CODES.iter().copied().find(|code| code.name == name)
}

/// One reason to close a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseCode {
    /// The number on the wire.
    pub code: u16,
    /// Its word, which `bye` carries as `code`.
    pub name: &'static str,
    /// Whether a client should come back.
    pub reconnect: Retry,
}

/// Every close code, in the order of `spec/codes.toml`.
pub const CLOSE_CODES: &[CloseCode] = &[
    CloseCode {
        code: 1000,
        name: "normal",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 1002,
        name: "protocol_error",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 1003,
        name: "unsupported_data",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 1007,
        name: "invalid_payload",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 1009,
        name: "too_large",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 1011,
        name: "internal",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 1012,
        name: "drain",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 1013,
        name: "overloaded",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 4001,
        name: "auth_timeout",
        reconnect: Retry::No,
    },
    CloseCode {
        code: 4002,
        name: "token_invalid",
        reconnect: Retry::No,
    },
    CloseCode {
        code: 4003,
        name: "token_expired",
        reconnect: Retry::NewToken,
    },
    CloseCode {
        code: 4004,
        name: "closed_by_server",
        reconnect: Retry::No,
    },
    CloseCode {
        code: 4005,
        name: "slow_consumer",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 4006,
        name: "raw_loss",
        reconnect: Retry::Yes,
    },
    CloseCode {
        code: 4007,
        name: "limit",
        reconnect: Retry::No,
    },
];

/// One error as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub code: ErrorCode,
    /// What happened and what to do, for a developer.
    pub detail: String,
    /// The part of the request that is at fault.
    pub field: Option<&'static str>,
    /// The failing check of a refused credential or right.
    pub check: Option<&'static str>,
    /// When to come back, in seconds.
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem of a kind.
    #[must_use]
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            field: None,
            check: None,
            retry_after: None,
        }
    }

    /// A part of the request that is not valid.
    #[must_use]
    pub fn invalid(field: &'static str, detail: impl Into<String>) -> Self {
        Self {
            field: Some(field),
            ..Self::new(INVALID, detail)
        }
    }

    /// What an access does not allow: 401 where there were no credentials, else 403.
    #[must_use]
    pub fn denied(access: &Access, denied: &Denied) -> Self {
        let code = if access.is_anonymous() {
            UNAUTHORIZED
        } else {
            FORBIDDEN
        };
        Self::new(code, denied.detail.as_str()).with_check(denied.check)
    }

    /// A refused credential.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        let code = error_code(refusal.code).unwrap_or(TOKEN_INVALID);
        Self::new(code, refusal.detail.as_str()).with_check(refusal.check)
    }

    /// The same with the name of the failing check.
    #[must_use]
    pub fn with_check(self, check: &'static str) -> Self {
        Self {
            check: Some(check),
            ..self
        }
    }

    /// The same with a time to come back, in seconds.
    #[must_use]
    pub fn with_retry_after(self, seconds: u32) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.code.status
    }

    /// The whole body of a response.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let body = Body {
            kind: format!("urn:bellwire:error:{}", self.code.name),
            title: self.code.title,
            item: self.item(),
            check: self.check,
        };
        serde_json::to_vec(&body).expect("a struct of strings is JSON")
    }

    /// `{status, code, field?, detail}`: the error of one item in a batch, and of a WebSocket
    /// reply.
    #[must_use]
    pub fn to_item(&self) -> String {
        serde_json::to_string(&self.item()).expect("a struct of strings is JSON")
    }

    /// The whole response; the caller adds CORS headers.
    #[must_use]
    pub fn response(&self) -> Response<Vec<u8>> {
        let mut response = Response::new(self.body());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn item(&self) -> Item<'_> {
        Item {
            status: self.status().as_u16(),
            code: self.code.name,
            field: self.field,
            detail: &self.detail,
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    #[serde(flatten)]
    item: Item<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<&'static str>,
}

#[derive(Serialize)]
struct Item<'a> {
    status: u16,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    detail: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_code_check_and_field() {
        let problem = Problem::invalid("cursor", "no").with_check("cursor.version");
        let body: serde_json::Value = serde_json::from_slice(&problem.body()).unwrap();
        let expected = serde_json::json!({
            "type": "urn:bellwire:error:invalid",
            "title": "The request is not valid", "status": 400, "code": "invalid",
            "field": "cursor", "detail": "no", "check": "cursor.version",
        });
        assert_eq!(body, expected);
        assert!(!Problem::new(INTERNAL, "x").to_item().contains("field"));
    }

    #[test]
    fn a_401_says_how_to_authenticate() {
        let response = Problem::new(UNAUTHORIZED, "x").response();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        let response = Problem::new(OVERLOADED, "x").with_retry_after(3).response();
        assert_eq!(response.headers()[RETRY_AFTER], "3");
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    }
}
