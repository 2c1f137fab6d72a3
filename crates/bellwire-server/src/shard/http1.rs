//! One connection of HTTP/1, and taking a parsed request's socket over.
//!
//! A streaming route leaves a handover and an answer that never comes; the task that polls
//! hyper's connection then dismantles it *before any response byte was written* and gives the raw
//! socket, with the bytes read behind the request, to a session. Rules (design §4): only for
//! requests without a body, only while hyper has nothing unflushed, never with `pipeline_flush`.
//! Anything else is served through hyper's own body.

use std::{convert::Infallible, future::poll_fn, rc::Rc, task::Poll};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::{
    accepted::{Accepted, Door},
    census::Seat,
    local::Local,
    sockets::Idle,
    wire::{Parts, Wire},
};
use crate::http;

/// Serves requests one after another, until one takes the socket or nobody asks any more. The
/// first has to be there at `deadline`.
///
/// # Errors
/// The peer's.
pub(super) async fn serve(
    local: &Rc<Local>,
    wire: Wire,
    door: Door,
    seat: Seat,
    deadline: Instant,
) -> Result<(), hyper::Error> {
    let progress = wire.progress();
    let accepted = Rc::new(Accepted::new(&door, Rc::clone(&progress)));
    let limits = &local.shared.config.limits;
    let service = {
        let (local, accepted) = (Rc::clone(local), Rc::clone(&accepted));
        let progress = Rc::clone(&progress);
        service_fn(move |request: Request<Incoming>| {
            progress.asked.set(true);
            let (local, accepted) = (Rc::clone(&local), Rc::clone(&accepted));
            Box::pin(async move {
                let response = Box::pin(http::respond(&local, &accepted, request));
                Ok::<_, Infallible>(response.await)
            })
        })
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.keep_alive_timeout)
        .max_buf_size(limits.max_head_bytes.max(8_192));
    let mut connection = builder.serve_connection(TokioIo::new(wire), service);
    let driven = poll_fn(|cx| match connection.poll_without_shutdown(cx) {
        Poll::Ready(result) => Poll::Ready(result.map(|()| accepted.take())),
        Poll::Pending => match accepted.take_now() {
            Some(handover) => Poll::Ready(Ok(Some(handover))),
            None => Poll::Pending,
        },
    });
    let handover = tokio::select! {
        biased;
        handover = driven => handover,
        () = progress.late(deadline) => {
            local.count_refusal("handshake_timeout");
            return Ok(());
        }
    };
    let handover = match handover {
        Ok(Some(handover)) => handover,
        // Now the end is said.
        Ok(None) => return (&mut connection).await,
        Err(error) => {
            connection.into_parts().io.into_inner().finish();
            return Err(error);
        }
    };
    let parts = connection.into_parts();
    let Parts {
        stream,
        tls,
        leftover,
    } = parts.io.into_inner().into_parts();
    let Ok(stream) = stream.into_std() else {
        return Ok(());
    };
    let idle = Idle {
        stream,
        tls,
        seat,
        leftover: [&*parts.read_buf, &*leftover].concat(),
    };
    if let Err(error) = local.take_over(idle, handover.open) {
        tracing::warn!(%error, "a socket could not be taken over");
    }
    Ok(())
}
