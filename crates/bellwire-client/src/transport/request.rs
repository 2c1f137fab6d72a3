//! The requests that open a stream or ask a poll. Used by the three links; opens nothing.

use bytes::Bytes;
use serde::Serialize;

use crate::{
    endpoint::{Endpoint, Outgoing, push_query},
    error::Error,
};

/// The longest path with query that goes out as a GET; proxies commonly allow 8 KiB of head.
const MAX_GET_BYTES: usize = 6 * 1024;

/// What a subscription asks for, whichever way.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) channels: Vec<String>,
    pub(crate) grants: Vec<String>,
    pub(crate) max_message_bytes: usize,
}

#[derive(Serialize)]
struct Body<'a> {
    channels: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    grants: &'a [String],
}

impl Wanted {
    /// The request to `path`, which may have a query of its own: a GET, or a POST where the
    /// lists are long.
    pub(crate) fn request(
        &self,
        endpoint: &Endpoint,
        path: &str,
        cursor: Option<&str>,
    ) -> Result<Outgoing, Error> {
        let target = self.target(path, cursor);
        if target.len() <= MAX_GET_BYTES {
            return endpoint.get(&target);
        }
        let body = Body {
            channels: &self.channels,
            cursor,
            grants: &self.grants,
        };
        let json = serde_json::to_vec(&body).expect("strings are always JSON");
        endpoint.post(path, Bytes::from(json))
    }

    /// The path with everything in its query, however long.
    pub(crate) fn target(&self, path: &str, cursor: Option<&str>) -> String {
        let mut target = path.to_owned();
        for channel in &self.channels {
            push_query(&mut target, "channel", channel);
        }
        for grant in &self.grants {
            push_query(&mut target, "grant", grant);
        }
        if let Some(cursor) = cursor {
            push_query(&mut target, "cursor", cursor);
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn request(channels: usize) -> Outgoing {
        let wanted = Wanted {
            channels: (0..channels).map(|n| format!("room:{n}")).collect(),
            grants: Vec::new(),
            max_message_bytes: 1024,
        };
        let endpoint = Endpoint::parse("http://localhost", None, Arc::new(|| None)).unwrap();
        wanted
            .request(&endpoint, "/v1/sse?ids=own", Some("latest"))
            .unwrap()
    }

    #[test]
    fn a_short_list_is_a_get_and_a_long_one_a_post() {
        let short = request(1);
        assert_eq!(short.method(), "GET");
        assert_eq!(short.uri(), "/v1/sse?ids=own&channel=room:0&cursor=latest");
        let long = request(1000);
        assert_eq!(long.method(), "POST");
        assert_eq!(long.uri(), "/v1/sse?ids=own");
    }
}
