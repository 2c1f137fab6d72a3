//! One HTTP/1.1 connection without a task of its own: whoever awaits an answer drives it, so an
//! unread response is an unread socket. Used by the SSE and poll links and by publishing.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::{
    endpoint::{Endpoint, Outgoing},
    error::{Error, Refusal},
    verdict::Loss,
};

/// The most bytes hyper may hold of what has been received.
const MAX_BUFFER: usize = 64 * 1024;
/// The most bytes of an error's body that are looked at.
const MAX_PROBLEM: usize = 16 * 1024;

/// A connection to a server, encrypted or not.
pub(super) trait Duplex: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Duplex for T {}

pub(super) type Socket = Box<dyn Duplex>;
type Driver = Connection<TokioIo<Socket>, Full<Bytes>>;

/// A connection that serves one request at a time.
#[derive(Debug)]
pub(crate) struct Exchange {
    sender: SendRequest<Full<Bytes>>,
    /// Boxed, because it holds hyper's whole state and travels through many futures.
    driver: Box<Driver>,
    /// Whether the driver is done; then it must not be polled again.
    ended: bool,
}

/// Why there is no response, and the request if certainly none of it was sent.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) reason: String,
    pub(crate) unsent: Option<Box<Outgoing>>,
}

/// Opens a connection to the endpoint.
async fn connect(endpoint: &Endpoint) -> Result<Socket, Loss> {
    let (host, port) = endpoint.address();
    let refuse = |error| Loss::passing(format!("cannot connect to {host}:{port}: {error}"));
    let stream = TcpStream::connect((host, port)).await.map_err(refuse)?;
    // Requests are small and whole; waiting for more only delays them.
    stream.set_nodelay(true).map_err(refuse)?;
    let Some(tls) = endpoint.tls() else {
        return Ok(Box::new(stream));
    };
    // Boxed, because it is large and travels through many futures.
    match Box::pin(tls.connect(stream)).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => Err(Loss::passing(format!(
            "cannot encrypt to {host}:{port}: {error}"
        ))),
    }
}

impl Exchange {
    /// Connects.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, Loss> {
        let stream = connect(endpoint).await?;
        let (sender, driver) = Builder::new()
            .max_buf_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Loss::passing(error.to_string()))?;
        Ok(Self {
            sender,
            driver: Box::new(driver),
            ended: false,
        })
    }

    /// Sends a request and awaits the head of its response.
    pub(crate) async fn send(
        &mut self,
        request: Outgoing,
    ) -> Result<Response<Incoming>, Unanswered> {
        let answer = self.sender.try_send_request(request);
        drive(&mut self.driver, &mut self.ended, answer)
            .await
            .map_err(|mut error| Unanswered {
                unsent: error.take_message().map(Box::new),
                reason: format!(
                    "the connection was lost before an answer: {}",
                    error.error()
                ),
            })
    }

    /// The next piece of a response's body; nothing at its end.
    pub(crate) async fn chunk(&mut self, body: &mut Incoming) -> Option<Result<Bytes, Loss>> {
        loop {
            match drive(&mut self.driver, &mut self.ended, body.frame()).await? {
                // Trailers carry nothing for us.
                Ok(frame) => match frame.into_data() {
                    Ok(data) => return Some(Ok(data)),
                    Err(_) => continue,
                },
                Err(error) => {
                    return Some(Err(Loss::passing(format!(
                        "the connection was lost: {error}"
                    ))));
                }
            }
        }
    }

    /// The whole body of a response, of at most `max` bytes; nothing if it is longer.
    pub(crate) async fn body(
        &mut self,
        mut body: Incoming,
        max: usize,
    ) -> Result<Option<Bytes>, Loss> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut body).await {
            let chunk = chunk?;
            if whole.len() + chunk.len() > max {
                return Ok(None);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(Some(whole.freeze()))
    }

    /// Lets the connection notice what happened to it, and says whether it takes a request.
    pub(crate) async fn is_usable(&mut self) -> bool {
        drive(&mut self.driver, &mut self.ended, std::future::ready(())).await;
        !self.ended && self.sender.is_ready()
    }

    /// The socket after a 101, with what was read beyond the response's head.
    pub(super) fn into_socket(self) -> (Socket, Bytes) {
        let parts = self.driver.into_parts();
        (parts.io.into_inner(), parts.read_buf)
    }

    /// The verdict on a response that is not what was asked for.
    pub(crate) async fn judge(&mut self, response: Response<Incoming>) -> Loss {
        let (head, body) = response.into_parts();
        let hint = retry_after(&head.headers);
        let is_problem = is_type(&head.headers, "application/problem+json");
        let problem = match self.body(body, MAX_PROBLEM).await {
            Ok(Some(body)) if is_problem => problem_of(head.status, &body),
            _ => None,
        };
        Loss::of_response(head.status.as_u16(), problem, hint)
    }
}

/// The refusal in a problem+json body, if it is one of Bellwire's.
pub(crate) fn problem_of(status: StatusCode, body: &[u8]) -> Option<Refusal> {
    let problem: Refusal = serde_json::from_slice(body).ok()?;
    Some(Refusal {
        status: status.as_u16(),
        ..problem
    })
}

/// Whether the content type is `expected`, parameters aside.
pub(crate) fn is_type(headers: &HeaderMap, expected: &str) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    essence.trim().eq_ignore_ascii_case(expected)
}

/// `Retry-After` in seconds; its date form is not used by Bellwire.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Awaits `future` while moving the connection along that it depends on.
async fn drive<F: Future>(driver: &mut Driver, ended: &mut bool, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        // How the connection ended is told by the request or body that depends on it.
        *ended = *ended || Pin::new(&mut *driver).poll(context).is_ready();
        future.as_mut().poll(context)
    })
    .await
}

impl From<Loss> for Error {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Final(refusal) => Self::Refused(refusal),
            Loss::Passing { reason, .. } => Self::Unavailable(reason),
        }
    }
}

impl From<Error> for Loss {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => Self::Final(refusal),
            Error::Invalid { field, detail } => {
                let field = Some(field.to_owned());
                Self::Final(Refusal {
                    status: 0,
                    code: "invalid".to_owned(),
                    field,
                    detail,
                })
            }
            Error::Unavailable(reason) | Error::Protocol(reason) => Self::passing(reason),
        }
    }
}
