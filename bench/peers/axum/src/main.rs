//! The peer "axum": WebSocket and EventSource over a tokio broadcast channel for each channel, as
//! most would write it. Called by `start` with a port; knows nothing of Bellwire but its envelope.

use std::{
    collections::HashMap,
    convert::Infallible,
    error::Error,
    io::Write as _,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    extract::{
        Path, Query, State, WebSocketUpgrade,
        ws::{Message, Utf8Bytes, WebSocket},
    },
    http::header,
    response::{IntoResponse, Response, Sse, sse::Event},
    routing::{get, post},
    serve::ListenerExt as _,
};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use tokio::{
    net::TcpSocket,
    sync::broadcast::{self, Receiver, Sender, error::RecvError},
};
use tokio_stream::wrappers::BroadcastStream;

/// Publications that a slow subscriber may be behind; axum's own chat example has 100.
const BEHIND: usize = 128;

/// What every subscriber of a channel gets.
#[derive(Clone)]
struct Publication {
    id: Arc<str>,
    text: Utf8Bytes,
}

#[derive(Default)]
struct Hub {
    channels: Mutex<HashMap<String, Sender<Publication>>>,
    count: AtomicU64,
}

#[derive(Deserialize)]
struct Wanted {
    channel: String,
}

impl Hub {
    fn subscribe(&self, channel: String) -> Receiver<Publication> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = channels.entry(channel);
        sender
            .or_insert_with(|| broadcast::channel(BEHIND).0)
            .subscribe()
    }

    fn publish(&self, channel: &str, payload: &str) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) % 10_000_000_000;
        let id = format!("1AAAAAAAAAA{count:010}");
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let time = since.as_millis();
        let text =
            format!(r#"{{"channel":"{channel}","id":"{id}","time":{time},"data":{payload}}}"#);
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = channels.get(channel) {
            // An error says that nobody listens.
            drop(sender.send(Publication {
                id: id.into(),
                text: text.into(),
            }));
        }
    }
}

async fn publish(
    State(hub): State<Arc<Hub>>,
    Path(channel): Path<String>,
    payload: String,
) -> Response {
    hub.publish(&channel, &payload);
    (
        [(header::CONTENT_TYPE, "application/json")],
        r#"{"ok":true}"#,
    )
        .into_response()
}

async fn websocket(
    State(hub): State<Arc<Hub>>,
    Query(wanted): Query<Wanted>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let receiver = hub.subscribe(wanted.channel);
    upgrade.on_upgrade(move |socket| forward(socket, receiver))
}

async fn forward(mut socket: WebSocket, mut receiver: Receiver<Publication>) {
    let mut next = Utf8Bytes::from_static("hello");
    loop {
        if socket.send(Message::Text(next)).await.is_err() {
            return;
        }
        next = loop {
            tokio::select! {
                received = receiver.recv() => match received {
                    Ok(publication) => break publication.text,
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                },
                incoming = socket.recv() => match incoming {
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                },
            }
        };
    }
}

async fn events(
    State(hub): State<Arc<Hub>>,
    Query(wanted): Query<Wanted>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let publications = BroadcastStream::new(hub.subscribe(wanted.channel));
    let events = publications.filter_map(async |received| {
        let publication = received.ok()?;
        Some(Ok(Event::default()
            .id(&publication.id)
            .data(&*publication.text)))
    });
    let hello = stream::iter([Ok(Event::default().comment("hello"))]);
    Sse::new(hello.chain(events))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: PORT")?.parse()?;
    let app = Router::new()
        .route("/v1/ws", get(websocket))
        .route("/v1/sse", get(events))
        .route("/v1/channels/{channel}", post(publish))
        .with_state(Arc::new(Hub::default()));
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    // `TcpListener::bind` would let 128 connections wait, too few for a storm of them.
    let listener = socket.listen(4096)?;
    writeln!(std::io::stdout(), "ready")?;
    let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
    axum::serve(listener, app).await?;
    Ok(())
}
