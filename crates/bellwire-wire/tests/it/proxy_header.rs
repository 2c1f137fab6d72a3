//! PROXY headers as load balancers write them, and what is none.

use std::net::SocketAddr;

use bellwire_wire::proxy_header::{Header, MAX_BYTES, Malformed, read};
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2 with this block of addresses and extensions.
fn binary(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap();
    let fixed = [SIGNATURE, &[command, family], &length.to_be_bytes()].concat();
    [fixed.as_slice(), block].concat()
}

/// The block of two addresses.
fn block(client: SocketAddr, extensions: &[u8]) -> (u8, Vec<u8>) {
    let (family, addresses) = match client {
        SocketAddr::V4(v4) => (0x11, [v4.ip().octets(), [198, 51, 100, 1]].concat()),
        SocketAddr::V6(v6) => (0x21, [v6.ip().octets(), [1; 16]].concat()),
    };
    let ports = [client.port().to_be_bytes(), 443_u16.to_be_bytes()].concat();
    (family, [&addresses, ports.as_slice(), extensions].concat())
}

fn line(client: SocketAddr) -> Vec<u8> {
    let (family, own) = if client.is_ipv4() {
        ("TCP4", "198.51.100.1")
    } else {
        ("TCP6", "2001:db8::1")
    };
    let (ip, port) = (client.ip(), client.port());
    format!("PROXY {family} {ip} {own} {port} 443\r\n").into_bytes()
}

fn is_read_as(header: &[u8], client: Option<SocketAddr>) {
    let expected = Header {
        client,
        length: header.len(),
    };
    let with_request = [header, b"GET / HTTP/1.1\r\n\r\n"].concat();
    assert_eq!(read(&with_request), Ok(Some(expected)));
    for end in 0..header.len() {
        assert_eq!(read(&header[..end]), Ok(None), "cut at {end}");
    }
}

proptest! {
    #[test]
    fn both_versions_name_any_client_and_end_where_the_request_begins(
        client: SocketAddr,
        extensions in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        is_read_as(&line(client), Some(SocketAddr::new(client.ip(), client.port())));
        let (family, block) = block(client, &extensions);
        is_read_as(&binary(0x21, family, &block), Some(SocketAddr::new(client.ip(), client.port())));
        is_read_as(&binary(0x20, family, &block), None);
        is_read_as(&binary(0x21, 0, &block), None);
    }

    #[test]
    fn whatever_bytes_keep_the_promises_of_the_fuzz_target(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        start in 0_usize..3,
    ) {
        let start: &[u8] = [b"".as_slice(), SIGNATURE, b"PROXY "][start];
        crate::proxy_header_check::check(&[start, bytes.as_slice()].concat());
    }
}

#[test]
fn a_balancer_may_not_know_the_client() {
    is_read_as(b"PROXY UNKNOWN\r\n", None);
    is_read_as(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None);
    is_read_as(&binary(0x20, 0, b""), None);
    is_read_as(&binary(0x21, 0x31, &[0; 216]), None);
}

#[test]
fn what_is_no_header_is_told_at_once() {
    assert_eq!(read(b"G"), Err(Malformed::Absent));
    assert_eq!(read(b"\r\n\r\nGET"), Err(Malformed::Absent));
    assert_eq!(read(b"proxy TCP4"), Err(Malformed::Absent));
    let broken = [
        "PROXY TCP4 203.0.113.9 198.51.100.1 1\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 1 2 3\r\n",
        "PROXY TCP4 203.0.113.9  198.51.100.1 1 2\r\n",
        "PROXY TCP4 203.0.113.09 198.51.100.1 1 2\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 65536 2\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 +1 2\r\n",
        "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        "PROXY TCP6 203.0.113.9 198.51.100.1 1 2\r\n",
        "PROXY UDP4 203.0.113.9 198.51.100.1 1 2\r\n",
        "PROXY TCP4 203.0.113.9 198.51.100.1 1 2\n",
        "PROXY \r\n",
    ];
    for text in broken {
        assert_eq!(read(text.as_bytes()), Err(Malformed::Broken(1)), "{text:?}");
    }
    for (command, family, block) in [
        (0x31, 0x11, &[0; 12][..]),
        (0x22, 0x11, &[0; 12]),
        (0x21, 0x13, &[0; 12]),
        (0x21, 0x11, &[0; 11]),
        (0x21, 0x21, &[0; 35]),
    ] {
        let header = binary(command, family, block);
        assert_eq!(read(&header), Err(Malformed::Broken(2)), "{header:?}");
    }
}

#[test]
fn a_header_without_end_is_refused_before_it_is_stored() {
    let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
    assert_eq!(read(&endless), Err(Malformed::TooLong));
    let announced = [SIGNATURE, b"\x21\x11\xff\xff"].concat();
    assert_eq!(read(&announced), Err(Malformed::TooLong));
    let most = u16::try_from(MAX_BYTES - 16).unwrap();
    let largest = [SIGNATURE, &[0x20, 0], &most.to_be_bytes()].concat();
    assert_eq!(read(&largest), Ok(None));
}
