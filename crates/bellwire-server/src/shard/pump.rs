//! A WebSocket inside of a stream of HTTP/2 (RFC 8441): its bytes go from the HTTP library to the
//! session, and from the session's pipe to the HTTP library.
//!
//! The WebSocket route calls it. It owns no buffer: what is read passes through the shard's.

use std::{
    cell::RefCell,
    future::{pending, poll_fn},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bellwire_core::shard::{Input, SocketKey};
use http_body::Body as _;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf, split},
    task::spawn_local,
};

use super::{
    accepted::Accepted,
    local::{Local, Session},
    pipe::{Pipe, PipeBody},
};

type Stream = TokioIo<Upgraded>;

/// Opens a session on the stream that `upgrade` becomes once the route has answered.
pub(crate) fn pump(
    local: &Rc<Local>,
    accepted: &Accepted,
    upgrade: OnUpgrade,
    open: impl FnOnce(SocketKey) -> Session,
) {
    let pipe = Rc::new(RefCell::new(Pipe::default()));
    let socket = local.insert_pipe(Rc::clone(&pipe), accepted.peer, None);
    local.begin(socket, open(socket));
    let body = PipeBody {
        pipe,
        local: Rc::clone(local),
        socket,
    };
    let held = accepted.hold();
    drop(spawn_local(async move {
        // Where it ends in between, the session learns of it by the drop of its body.
        if let Ok(upgraded) = upgrade.await {
            both_ways(TokioIo::new(upgraded), body).await.ok();
        }
        drop(held);
    }));
}

async fn both_ways(stream: Stream, mut body: PipeBody) -> io::Result<()> {
    let (mut from, mut to) = split(stream);
    let (local, pipe, socket) = (Rc::clone(&body.local), Rc::clone(&body.pipe), body.socket);
    let reading = async {
        poll_fn(|cx| {
            loop {
                if pipe.borrow_mut().poll_resumed(cx).is_pending() {
                    return Poll::Pending;
                }
                if !ready!(local.poll_feed(cx, socket, &mut from))? {
                    return Poll::Ready(io::Result::Ok(()));
                }
            }
        })
        .await?;
        // The session's last words still go.
        local.pipe_ended(socket);
        pending().await
    };
    tokio::select! {
        ended = reading => ended,
        ended = write_on(&mut body, &mut to) => ended,
    }
}

/// Writes what the session writes, to its end.
async fn write_on(body: &mut PipeBody, to: &mut WriteHalf<Stream>) -> io::Result<()> {
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        if let Ok(bytes) = frame.into_data() {
            to.write_all(&bytes).await?;
        }
    }
    to.shutdown().await
}

impl Local {
    /// Reads once and gives that to the session. Returns whether to go on.
    fn poll_feed(
        &self,
        cx: &mut Context<'_>,
        socket: SocketKey,
        from: &mut ReadHalf<Stream>,
    ) -> Poll<io::Result<bool>> {
        self.with_scratch(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(from).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(false));
            }
            let input = self.with(|shard, now| {
                let Some(connection) = shard.sockets().connection_of(socket) else {
                    return Input::Gone;
                };
                let input = shard.input(connection, buffer.filled_mut(), now);
                if input == Input::Pause {
                    shard.sockets().pause(socket);
                }
                input
            });
            Poll::Ready(Ok(input != Input::Gone))
        })
    }
}
