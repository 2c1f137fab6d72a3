//! Accepting: a seat in the census, then whatever the peer speaks, each connection in a task of
//! its own. `handshake.rs` finds out what that is, `http1.rs` and `http2.rs` serve it.

use std::{
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use tokio::{
    task::spawn_local,
    time::{Instant, sleep, timeout_at},
};

use super::{
    accepted::Door,
    census::Room,
    door::Guest,
    handshake::{self, Protocol},
    http1, http2,
    local::Local,
    sockets::Idle,
    wire::{Parts, Wire},
};
use crate::http::Listener;

/// Accepts for as long as the thread runs, or until the node stops listening.
///
/// # Errors
/// The runtime does not take the listener.
pub(super) fn accept(
    local: &Rc<Local>,
    listener: TcpListener,
    kind: Listener,
) -> io::Result<impl Future<Output = ()> + use<>> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let local = Rc::clone(local);
    Ok(async move {
        loop {
            // With no room even for an answer the rest waits in the kernel's queue.
            while local.shared.census.is_crowded() {
                local.shared.census.departure().await;
            }
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = local.shared.drain.stopped_listening() => {
                    empty_queue(&local, &listener, kind).await;
                    return;
                }
            };
            match accepted {
                Ok((stream, peer)) => admit(&local, stream, peer, kind),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: accepting again at once would spin.
                    tracing::warn!(%error, "accepting failed; trying again in 100 ms");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}

/// Takes in who has connected already, so that closing the listener resets nobody.
async fn empty_queue(local: &Rc<Local>, listener: &tokio::net::TcpListener, kind: Listener) {
    loop {
        let next = poll_fn(|cx| match listener.poll_accept(cx) {
            Poll::Ready(Ok(accepted)) => Poll::Ready(Some(accepted)),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
        });
        let Some((stream, peer)) = next.await else {
            return;
        };
        admit(local, stream, peer, kind);
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::ConnectionRefused
            | Kind::Interrupted
    )
}

fn admit(local: &Rc<Local>, stream: tokio::net::TcpStream, peer: SocketAddr, listener: Listener) {
    let guest = Guest::of(local, stream, peer);
    if listener == Listener::Main && local.shared.config.proxy_protocol {
        let local = Rc::clone(local);
        drop(spawn_local(async move {
            if let Some(guest) = guest.announced(&local).await {
                welcome(&local, guest, listener);
            }
        }));
    } else {
        welcome(local, guest, listener);
    }
}

fn welcome(local: &Rc<Local>, guest: Guest, listener: Listener) {
    let local = Rc::clone(local);
    // Boxed: a task is allocated to a boundary of 128 bytes, and where two thousand are, a crowd that
    // connects at once leaves holes of two hundred bytes behind each.
    drop(spawn_local(Box::pin(async move {
        greet(&local, guest, listener).await;
    })));
}

/// Serves a socket on which a poll was answered and the next request begins.
pub(super) fn serve_again(local: &Rc<Local>, idle: Idle) {
    let Idle {
        stream,
        tls,
        seat,
        leftover,
    } = idle;
    // The error of a peer that is gone is of no interest.
    let Ok(mut peer) = stream.peer_addr() else {
        return;
    };
    if let Some(client) = seat.address() {
        peer.set_ip(client);
    }
    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
        return;
    };
    let door = Door {
        peer,
        local: stream.local_addr().ok(),
        listener: Listener::Main,
        room: Room::Seated,
    };
    let wire = Wire::new(Parts {
        stream,
        tls,
        leftover,
    });
    let local = Rc::clone(local);
    drop(spawn_local(Box::pin(async move {
        let deadline = Instant::now() + local.shared.config.limits.handshake_timeout;
        note_end(http1::serve(&local, wire, door, seat, deadline).await);
    })));
}

/// Finds out what a new connection speaks, and serves it.
async fn greet(local: &Rc<Local>, guest: Guest, listener: Listener) {
    let Guest {
        stream,
        peer,
        seat,
        room,
    } = guest;
    let door = Door {
        peer,
        local: stream.local_addr().ok(),
        listener,
        room,
    };
    let deadline = Instant::now() + local.shared.config.limits.handshake_timeout;
    let Ok(greeted) = timeout_at(deadline, handshake::begin(local, stream, &door)).await else {
        local.count_refusal("handshake_timeout");
        return;
    };
    match greeted {
        Ok((wire, Protocol::Http1)) => {
            note_end(http1::serve(local, wire, door, seat, deadline).await);
        }
        Ok((wire, Protocol::Http2)) => {
            note_end(Box::pin(http2::serve(local, wire, door, seat, deadline)).await);
        }
        Err(error) => tracing::debug!(%error, "a connection ended before its first request"),
    }
}

fn note_end(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "an HTTP connection ended");
    }
}
