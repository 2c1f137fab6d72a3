//! The PROXY protocol, versions 1 and 2: what a load balancer says in front of a connection's bytes
//! about who is at its other end.
//!
//! The server calls [`read`] with what has come before it looks at anything else. Knows no sockets;
//! whom to believe is the caller's business.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header that is read, in bytes: addresses and some KiB of extensions.
pub const MAX_BYTES: usize = 4_096;

/// How a header of version 2 begins.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// How a header of version 1 begins.
const WORD: &[u8; 6] = b"PROXY ";
/// The longest header of version 1, the line's end included.
const MAX_LINE: usize = 107;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The client, unless the balancer speaks for itself (`LOCAL`) or does not know
    /// (`UNKNOWN`, `UNSPEC`, a socket of its machine).
    pub client: Option<SocketAddr>,
    /// Bytes it takes; what follows belongs to the connection.
    pub length: usize,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They begin otherwise.
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    /// A header of this version is not as it must be.
    #[error("the PROXY header of version {0} is malformed")]
    Broken(u8),
    /// It says that it is longer than [`MAX_BYTES`], or does not end.
    #[error("the PROXY header is too long")]
    TooLong,
}

/// Reads a header from the first bytes of a connection; nothing while more must come.
///
/// # Errors
/// What the bytes are instead. Said as soon as it is certain.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    if begins(bytes, SIGNATURE) {
        return read_binary(bytes);
    }
    if begins(bytes, WORD) {
        return read_line(bytes);
    }
    Err(Malformed::Absent)
}

/// Whether `bytes` begin as `start` does, as far as they go.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    let shared = bytes.len().min(start.len());
    bytes[..shared] == start[..shared]
}

fn read_line(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if window.len() == MAX_LINE {
            Err(Malformed::TooLong)
        } else {
            Ok(None)
        };
    };
    let client = line_client(&window[..end]).ok_or(Malformed::Broken(1))?;
    let length = end + 1;
    Ok(Some(Header { client, length }))
}

/// The client of a line without its LF; the outer nothing is for what is no such line.
fn line_client(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\r')?;
    let words: Vec<&str> = line.splitn(7, ' ').collect();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", family, source, destination, port, destination_port] => {
            let (source, destination): (IpAddr, IpAddr) =
                (source.parse().ok()?, destination.parse().ok()?);
            let fits = match family {
                "TCP4" => source.is_ipv4() && destination.is_ipv4(),
                "TCP6" => source.is_ipv6() && destination.is_ipv6(),
                _ => false,
            };
            let port = decimal(port).zip(decimal(destination_port))?.0;
            fits.then_some(Some(SocketAddr::new(source, port)))
        }
        _ => None,
    }
}

/// A port in digits alone; the library takes a sign as well.
fn decimal(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn read_binary(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let broken = Malformed::Broken(2);
    let command = bytes.get(12);
    if command.is_some_and(|command| !matches!(command, 0x20 | 0x21)) {
        return Err(broken);
    }
    let Some(fixed) = bytes.get(..FIXED) else {
        return Ok(None);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if length > MAX_BYTES {
        return Err(Malformed::TooLong);
    }
    let Some(rest) = bytes.get(FIXED..length) else {
        return Ok(None);
    };
    // Of LOCAL everything but the length is to be ignored; extensions behind the addresses are.
    let client = match (fixed[12], fixed[13]) {
        (0x20, _) => None,
        (_, 0x11) => {
            let (address, port) = address::<4>(rest).ok_or(broken)?;
            Some(SocketAddr::new(Ipv4Addr::from(address).into(), port))
        }
        (_, 0x21) => {
            let (address, port) = address::<16>(rest).ok_or(broken)?;
            Some(SocketAddr::new(Ipv6Addr::from(address).into(), port))
        }
        // UNSPEC, datagrams and sockets of the balancer's machine.
        (_, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => None,
        _ => return Err(broken),
    };
    Ok(Some(Header { client, length }))
}

/// The source of a block: two addresses of `N` bytes, then two ports.
fn address<const N: usize>(block: &[u8]) -> Option<([u8; N], u16)> {
    let source = block.get(..N)?.try_into().ok()?;
    let ports: [u8; 4] = block.get(2 * N..2 * N + 4)?.try_into().ok()?;
    Some((source, u16::from_be_bytes([ports[0], ports[1]])))
}
