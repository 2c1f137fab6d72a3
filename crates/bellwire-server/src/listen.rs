//! Listening sockets: bound once to see that the port is free, then once per shard.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4_096;
/// Bytes not yet sent that the kernel may hold of a connection before it says "would block".
const NOTSENT_LOWAT: u32 = 16 << 10;

/// How accepted sockets behave; they inherit it from their listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketOptions {
    pub(crate) send_buffer_bytes: usize,
    /// After how long without an acknowledgement a peer counts as gone.
    pub(crate) user_timeout: Duration,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Somebody else has the port.
    #[error("{address} is taken{}; free it or choose another with {flag}", by_whom(.holder.as_deref()))]
    Busy {
        /// The address asked for.
        address: SocketAddr,
        /// Which process has it, where the operating system shows it.
        holder: Option<String>,
        /// The flag that names the address.
        flag: &'static str,
    },
    /// Anything else.
    #[error("{address} can't be listened on ({source}); choose another with {flag}")]
    Failed {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
        /// The flag that names the address.
        flag: &'static str,
    },
}

fn by_whom(holder: Option<&str>) -> String {
    holder
        .map(|holder| format!(" by {holder}"))
        .unwrap_or_default()
}

/// Binds `count` listeners to one address.
///
/// # Errors
/// The address is taken or can't be bound; names the holder where that can be seen.
pub(crate) fn bind(
    address: SocketAddr,
    count: usize,
    options: SocketOptions,
    flag: &'static str,
) -> Result<Vec<TcpListener>, ListenError> {
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::AddrInUse {
            ListenError::Busy {
                address,
                holder: find_holder(address),
                flag,
            }
        } else {
            ListenError::Failed {
                address,
                source,
                flag,
            }
        }
    };
    // SO_REUSEPORT would share the port with another Bellwire of the same user, so the first try
    // goes without it.
    let probe = socket(address, false, None).and_then(|socket| {
        socket.bind(&address.into())?;
        socket.local_addr()
    });
    let bound = probe.map_err(failed)?.as_socket().unwrap_or(address);
    let listen = || -> io::Result<TcpListener> {
        let socket = socket(bound, true, Some(options))?;
        socket.bind(&bound.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    (0..count).map(|_| listen().map_err(failed)).collect()
}

fn socket(address: SocketAddr, shared: bool, options: Option<SocketOptions>) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
    }
    if let Some(options) = options {
        socket.set_tcp_nodelay(true)?;
        // The kernel doubles the size for its own bookkeeping.
        socket.set_send_buffer_size(options.send_buffer_bytes / 2)?;
        socket.set_tcp_mss(max_segment(options.send_buffer_bytes))?;
        socket.set_tcp_user_timeout(Some(options.user_timeout))?;
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT)?;
    }
    Ok(socket)
}

/// The longest segment for a send buffer. Segments of loopback are as long as a whole buffer, so
/// only one would be under way at a time, and the peer's delayed acknowledgement of it would stop
/// the stream for 40 ms. Segments of real networks are shorter than this anyway.
fn max_segment(send_buffer_bytes: usize) -> u32 {
    const SHORTEST: usize = 1_448;
    const LONGEST: usize = 16 << 10;
    u32::try_from((send_buffer_bytes / 4).clamp(SHORTEST, LONGEST)).expect("at most 16 KiB")
}

/// The process that listens on a port, by what /proc shows.
fn find_holder(address: SocketAddr) -> Option<String> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .find_map(|table| listening_inode(&table, address.port()))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let descriptors = process.path().join("fd");
        let Ok(descriptors) = fs::read_dir(descriptors) else {
            continue;
        };
        let holds = descriptors
            .flatten()
            .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
            .any(|target| target.to_string_lossy() == wanted);
        if holds {
            let pid = process.file_name().to_string_lossy().into_owned();
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// Reads the inode of a listening socket out of a table of the kernel: state 0A is LISTEN.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == "0A";
        if listens {
            fields.get(9)?.parse().ok()
        } else {
            None
        }
    })
}
