//! Whether an end is final. Used by the transports to sort what they met; the lists are those
//! of the close codes and errors in `spec/codes`. Pure.

use std::time::Duration;

use bellwire_wire::websocket::close;

use crate::error::Refusal;

/// The longest wait a server may ask for.
pub(crate) const MAX_HINT: Duration = Duration::from_secs(300);

/// Error codes that are final though their status is not.
const FINAL_CODES: [&str; 2] = ["limit", "unsupported"];

/// Why a link is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It may work again.
    Passing {
        /// What happened, for people.
        reason: String,
        /// How long the server asked to stay away.
        hint: Option<Duration>,
    },
    /// The server does not want this subscription.
    Final(Refusal),
}

impl Loss {
    pub(crate) fn passing(reason: impl Into<String>) -> Self {
        Self::Passing {
            reason: reason.into(),
            hint: None,
        }
    }

    pub(crate) fn refused(status: u16, code: &str, detail: impl Into<String>) -> Self {
        Self::Final(Refusal {
            status,
            code: code.to_owned(),
            field: None,
            detail: detail.into(),
        })
    }

    /// The verdict on a WebSocket's close frame.
    pub(crate) fn of_close(frame: Option<(u16, &str)>) -> Self {
        let Some((code, reason)) = frame else {
            return Self::passing("the server closed the WebSocket");
        };
        let (name, is_final) = match code {
            close::AUTH_TIMEOUT => ("auth_timeout", true),
            close::TOKEN_INVALID => ("token_invalid", true),
            close::CLOSED_BY_SERVER => ("closed_by_server", true),
            close::LIMIT => ("limit", true),
            _ => ("closed", false),
        };
        if is_final {
            return Self::refused(code, name, reason);
        }
        Self::passing(format!("the server closed the WebSocket with {code} {reason}").trim_end())
    }

    /// The verdict on a response that is not the stream asked for. A refusal in problem+json
    /// comes from Bellwire itself and is final; anything else may be a proxy's bad moment.
    pub(crate) fn of_response(status: u16, problem: Option<Refusal>, hint: Option<u64>) -> Self {
        let for_ever = problem.as_ref().is_some_and(|problem| {
            FINAL_CODES.contains(&problem.code.as_str())
                || ((400..500).contains(&status) && !matches!(status, 408 | 425 | 429))
        });
        match problem {
            _ if status == 204 => Self::refused(
                status,
                "stopped",
                "the server ended this subscription for ever",
            ),
            Some(problem) if for_ever => Self::Final(Refusal { status, ..problem }),
            problem => Self::Passing {
                reason: match problem {
                    Some(problem) => format!("{problem}, status {status}"),
                    None => format!("the server answered with status {status}"),
                },
                hint: hint.map(Duration::from_secs),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_final(loss: &Loss) -> bool {
        matches!(loss, Loss::Final(_))
    }

    #[test]
    fn exactly_the_close_codes_marked_no_are_final() {
        for code in [4001, 4002, 4004, 4007] {
            assert!(is_final(&Loss::of_close(Some((code, "why")))), "{code}");
        }
        for code in [
            1000, 1002, 1003, 1007, 1009, 1011, 1012, 1013, 4003, 4005, 4006, 4999,
        ] {
            assert!(!is_final(&Loss::of_close(Some((code, "why")))), "{code}");
        }
        assert!(!is_final(&Loss::of_close(None)));
    }

    #[test]
    fn a_refusal_is_final_only_in_bellwires_own_words() {
        let coded = |code: &str| {
            Some(Refusal {
                status: 0,
                code: code.to_owned(),
                field: None,
                detail: "no".to_owned(),
            })
        };
        let problem = || coded("forbidden");
        assert!(is_final(&Loss::of_response(429, coded("limit"), None)));
        assert!(is_final(&Loss::of_response(
            501,
            coded("unsupported"),
            None
        )));
        for status in [400, 401, 403, 404] {
            assert!(
                is_final(&Loss::of_response(status, problem(), None)),
                "{status}"
            );
            assert!(
                !is_final(&Loss::of_response(status, None, None)),
                "{status} of a proxy"
            );
        }
        for status in [429, 500, 502, 503] {
            assert!(
                !is_final(&Loss::of_response(status, problem(), None)),
                "{status}"
            );
        }
        assert!(is_final(&Loss::of_response(204, None, None)));
    }

    #[test]
    fn retry_after_becomes_a_hint() {
        let loss = Loss::of_response(503, None, Some(7));
        assert!(matches!(loss, Loss::Passing { hint: Some(hint), .. } if hint.as_secs() == 7));
    }
}
