//! Clients that stop reading cost their cursors and a capped buffer, nobody else anything (D8).
//!
//! The volume is small by default; `BELLWIRE_TEST_VOLUME_MIB=1024` gives the figure of the
//! documentation, for which the release binary is to be named in `BELLWIRE_BIN`.

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bellwire_testkit::{
    http::{Link, Request},
    process::{Server, raise_descriptor_limit},
    raw::{Sse, Stream as _, Transport, WebSocket, Wish},
    wait::{self, SOON},
};
use bellwire_wire::websocket::{Opcode, encode_masked_frame};
use serde_json::json;

use crate::{dev_with, publish, say};

const MESSAGE: usize = 64 << 10;
const HISTORY: u64 = 16 << 20;
/// How far the publisher may be ahead of the slowest reader, in messages.
const LEAD: u64 = (4 << 20) / MESSAGE as u64;

/// How many messages make the volume.
fn volume() -> u64 {
    let mebibytes = env::var("BELLWIRE_TEST_VOLUME_MIB").ok();
    let mebibytes = mebibytes.map_or(64, |text| text.parse::<u64>().expect("a number"));
    (mebibytes << 20) / MESSAGE as u64
}

/// What a subscriber has been told so far.
#[derive(Debug, Default)]
struct Account {
    /// The number that must come next; nothing where a gap was said, after which any may.
    next: Option<u64>,
    received: u64,
    gaps: u64,
}

impl Account {
    /// Takes the beginning of a message.
    fn read(&mut self, text: &str) {
        if text.starts_with("{\"gap\"") {
            assert!(text.contains("\"slow_consumer\""), "{text}");
            self.gaps += 1;
            self.next = None;
            return;
        }
        let Some((_, data)) = text.split_once("\"data\":[") else {
            return;
        };
        let number: u64 = data
            .split(',')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number");
        assert!(
            self.next.is_none_or(|next| next == number),
            "{number} after {self:?}"
        );
        self.next = Some(number + 1);
        self.received += 1;
    }
}

/// Reads WebSocket frames as they come and keeps of each only its beginning, so that a hundred
/// readers cost little beside the server.
#[derive(Debug)]
struct Reader {
    stream: TcpStream,
    /// The header and the beginning of the frame that is being received.
    beginning: Vec<u8>,
    /// Bytes of it that are still to come, once its header is there.
    left: Option<usize>,
    account: Account,
}

impl Reader {
    /// As much as holds the number in an envelope.
    const BEGINNING: usize = 200;

    fn open(server: &Server) -> Self {
        let mut socket = WebSocket::open(server.address(), &Wish::to(["flood"])).unwrap();
        socket.hello();
        let (stream, unread) = socket.into_link().into_parts();
        assert!(unread.is_empty(), "nothing was published yet");
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let account = Account {
            next: Some(0),
            ..Account::default()
        };
        Self {
            stream,
            beginning: Vec::new(),
            left: None,
            account,
        }
    }

    /// Reads what has come, for a moment.
    fn read(&mut self, buffer: &mut [u8]) {
        match self.stream.read(buffer) {
            Ok(0) => panic!("the server closed a connection"),
            Ok(read) => self.take(&buffer[..read]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(left) = self.left else {
                // Header by header, a byte at a time: there are few of them.
                self.beginning.push(bytes[0]);
                bytes = &bytes[1..];
                self.left = payload_len(&self.beginning);
                if self.left.is_some() {
                    self.beginning.clear();
                }
                continue;
            };
            let taken = left.min(bytes.len());
            let kept = Self::BEGINNING
                .saturating_sub(self.beginning.len())
                .min(taken);
            self.beginning.extend_from_slice(&bytes[..kept]);
            bytes = &bytes[taken..];
            self.left = (left > taken).then_some(left - taken);
            if self.left.is_none() {
                self.account.read(&String::from_utf8_lossy(&self.beginning));
                self.beginning.clear();
            }
        }
    }
}

/// The length that a whole header of an unmasked, unfragmented text announces (RFC 6455 §5.2).
fn payload_len(header: &[u8]) -> Option<usize> {
    match header {
        [0x81, len @ 0..=125] => Some(usize::from(*len)),
        [0x81, 126, a, b] => Some(usize::from(u16::from_be_bytes([*a, *b]))),
        [0x81, 127, 0, 0, 0, 0, a, b, c, d] => Some(u32::from_be_bytes([*a, *b, *c, *d]) as usize),
        [0x81] | [0x81, 126 | 127, ..] => None,
        other => panic!("{other:?} is no header of a text"),
    }
}

/// Publishes the volume, never far ahead of the slowest; returns the most memory seen.
fn publish_all(server: &Server, total: u64, slowest: impl Fn() -> u64) -> u64 {
    let filler = "x".repeat(MESSAGE);
    let mut link = Link::connect(server.address());
    let mut peak = 0;
    for number in 0..total {
        wait::within(
            Duration::from_secs(60),
            "the slowest of the readers",
            || (number < slowest() + LEAD).then_some(()),
        );
        link.send(&Request::post(
            "/v1/channels/flood",
            format!("[{number},\"{filler}\"]"),
        ));
        let answer = link.answer();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        if number % 16 == 0 {
            peak = peak.max(server.resident_bytes());
        }
    }
    peak.max(server.resident_bytes())
}

#[test]
fn one_stopped_reader_of_a_hundred_costs_nothing() {
    let _turn = crate::heavy();
    let server = dev_with(&[
        "--history-bytes",
        "16MiB",
        "--history-count",
        "1000000",
        "--heartbeat",
        "10min",
    ]);
    let total = volume();
    let mut stopped = Reader::open(&server);
    let readers: Vec<Reader> = (0..99).map(|_| Reader::open(&server)).collect();
    let progress: Arc<Vec<AtomicU64>> = Arc::new((0..99).map(|_| AtomicU64::new(0)).collect());
    let before = server.resident_bytes();

    let failed = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::new();
    for (nth, mut reader) in readers.into_iter().enumerate() {
        let (progress, failed) = (Arc::clone(&progress), Arc::clone(&failed));
        threads.push(thread::spawn(move || {
            let mut buffer = vec![0; 256 << 10];
            while reader.account.received < total && !failed.load(Ordering::Relaxed) {
                reader.read(&mut buffer);
                progress[nth].store(reader.account.received, Ordering::Relaxed);
            }
            reader.account
        }));
    }
    let start = Instant::now();
    let slowest = || {
        progress
            .iter()
            .map(|p| p.load(Ordering::Relaxed))
            .min()
            .unwrap_or(0)
    };
    let peak = publish_all(&server, total, slowest);
    for thread in threads {
        let account = thread.join().expect("no reader loses anything");
        assert_eq!((account.received, account.gaps), (total, 0));
    }
    let took = start.elapsed();
    let grown = peak.saturating_sub(before);

    let mut buffer = vec![0; 256 << 10];
    let deadline = Instant::now() + SOON;
    while stopped.account.next != Some(total) {
        assert!(
            Instant::now() < deadline,
            "the stopped reader stands at {:?}",
            stopped.account
        );
        stopped.read(&mut buffer);
    }
    let account = &stopped.account;
    assert!(account.received == total || account.gaps > 0, "{account:?}");
    say(&format!(
        "{} MiB in {took:?}: memory grew by {:.1} MB (history {:.1} MB); the stopped reader got \
         {} of {total} and {} gaps",
        (total * MESSAGE as u64) >> 20,
        grown as f64 / 1e6,
        HISTORY as f64 / 1e6,
        account.received,
        account.gaps,
    ));
    assert!(grown < HISTORY + 4_000_000, "memory grew by {grown} bytes");
}

/// Memory of all TCP sockets, in bytes (proc(5): `mem` counts pages).
fn tcp_memory() -> u64 {
    let table = fs::read_to_string("/proc/net/sockstat").expect("Linux");
    let line = table
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))
        .expect("a line for TCP");
    let (_, pages) = line.rsplit_once("mem ").expect("pages");
    pages.trim().parse::<u64>().expect("a number") * rustix::param::page_size() as u64
}

/// Streams of the channel `flood` that were greeted, for which the kernel keeps little.
pub(crate) fn stopped_readers(server: &Server, count: usize) -> Vec<Sse> {
    let open = || {
        let wish = Wish {
            receive_buffer: Some(8 << 10),
            ..Wish::to(["flood"])
        };
        let mut stream = Sse::open(server.address(), &wish).unwrap();
        stream.hello();
        stream
    };
    std::iter::repeat_with(open).take(count).collect()
}

#[test]
fn a_thousand_stopped_readers_hold_little_kernel_memory() {
    let _turn = crate::heavy();
    let server = dev_with(&["--heartbeat", "10min"]);
    raise_descriptor_limit();
    let before = tcp_memory();
    let streams = stopped_readers(&server, 1_000);
    let filler = "x".repeat(16 << 10);
    let mut link = Link::connect(server.address());
    let mut peak = 0;
    for number in 0..256 {
        link.send(&Request::post(
            "/v1/channels/flood",
            format!("[{number},\"{filler}\"]"),
        ));
        assert_eq!(link.answer().status(), 200);
        peak = peak.max(tcp_memory());
    }
    let grown = peak.saturating_sub(before);
    say(&format!(
        "TCP memory grew by {:.1} MB for {} stopped readers",
        grown as f64 / 1e6,
        streams.len()
    ));
    assert!(grown <= 64_000_000, "TCP memory grew by {grown} bytes");
    // Whoever reads on is served, a gap included where history is over.
    let mut last = streams.into_iter().next_back().expect("a thousand");
    wait::within(SOON, "the last message or a gap", || {
        match last.next(Instant::now() + SOON) {
            Ok(bellwire_testkit::raw::Item::Message(envelope)) => {
                (envelope["data"][0] == 255).then_some(())
            }
            Ok(bellwire_testkit::raw::Item::Gap(gap)) => {
                assert_eq!(gap["reason"], "slow_consumer");
                None
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn polls_whose_answers_nobody_reads_share_a_budget_and_the_others_are_answered() {
    const STOPPED: usize = 400;
    let _turn = crate::heavy();
    let server = dev_with(&["--limits-poll-bytes", "2MiB"]);
    let filler = "x".repeat(8 << 10);
    for number in 0..100 {
        publish(&server, "flood", &json!([number, filler]));
    }
    let before = server.resident_bytes();
    let poll = Request::get("/v1/poll?channel=flood&cursor=earliest&limit=100");
    let mut stopped: Vec<_> = (0..STOPPED)
        .map(|_| Link::connect_with(server.address(), Some(8 << 10)))
        .collect();
    for link in &mut stopped {
        link.send(&poll);
    }
    for link in &mut stopped {
        let peeked = link.stream().peek(&mut [0]).expect("an answer");
        assert_eq!(peeked, 1, "it has begun");
    }
    let mut reader = Transport::Poll.open(server.address(), &Wish::to(["flood"]).from("earliest"));
    reader.hello();
    for number in 0..100 {
        assert_eq!(reader.message()["data"][0], number);
    }
    let grown = server.resident_bytes().saturating_sub(before);
    say(&format!(
        "{STOPPED} polls whose answers of 800 kB nobody reads: memory grew by {:.1} MB",
        grown as f64 / 1e6
    ));
    // The budget, and of each a short answer and its connection.
    assert!(grown < 12_000_000, "memory grew by {grown} bytes");
}

#[test]
fn a_client_that_sends_on_without_reading_is_not_read_on() {
    const MANY: usize = 32 << 20;
    // Of one shard, so that one answer shows what happened to everybody.
    let server = Server::builder(env!("CARGO_BIN_EXE_bellwire"))
        .args(["--dev", "--shards", "1", "--heartbeat", "10min"])
        .start();
    let wish = Wish {
        receive_buffer: Some(4 << 10),
        ..Wish::to(["news"])
    };
    let mut socket = WebSocket::open(server.address(), &wish).unwrap();
    socket.hello();
    let (mut stream, unread) = socket.into_link().into_parts();
    assert!(unread.is_empty());
    let mut command = Vec::new();
    let opcode = Opcode::Text;
    encode_masked_frame(&mut command, opcode, br#"{"ping":{}}"#, [1, 2, 3, 4]);
    let commands = command.repeat(1_000);
    stream
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut other = Link::connect(server.address());
    let before = server.resident_bytes();
    let mut sent = 0;
    while sent < MANY {
        match stream.write(&commands[sent % command.len()..]) {
            Ok(written) => sent += written,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                break;
            }
        }
        // The server has looked at its sockets before the next piece comes.
        other.send(&Request::get("/livez"));
        assert_eq!(other.answer().status(), 200);
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "memory grew by {grown} bytes");
    assert!(sent < MANY, "it reads on although nobody reads its replies");
    // Who reads at last has an answer to everything.
    let whole = sent.next_multiple_of(command.len());
    let rest = command[command.len() - (whole - sent)..].to_vec();
    let mut writer = stream.try_clone().unwrap();
    writer.set_write_timeout(None).unwrap();
    let writer = thread::spawn(move || writer.write_all(&rest));
    stream.set_read_timeout(Some(SOON)).unwrap();
    // A reply has the words of its command, and no mask.
    let mut left = whole / command.len() * (command.len() - 4);
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        left -= stream.read(&mut buffer).unwrap();
    }
    writer.join().unwrap().unwrap();
}
