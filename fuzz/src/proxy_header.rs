//! PROXY headers: whatever comes, and however it is cut, the reading is the same; nothing is read
//! beyond the bound; a header that is whole stays so whatever follows.
//!
//! Input: the first bytes of a connection.

use bellwire_wire::proxy_header::{Header, MAX_BYTES, Malformed, read};

/// Asserts all of the above.
///
/// # Panics
/// Where a reading breaks a promise.
pub fn check(data: &[u8]) {
    let whole = read(data);
    let first = (0..=data.len())
        .map(|end| (end, read(&data[..end])))
        .find(|(_, reading)| *reading != Ok(None));
    let Some((end, reading)) = first else {
        assert_eq!(whole, Ok(None));
        assert!(data.len() < MAX_BYTES, "it waits for more than it takes");
        return;
    };
    match reading {
        Ok(Some(Header { length, .. })) => {
            assert_eq!(length, end, "it is whole with its last byte");
            assert!(length <= MAX_BYTES);
            assert_eq!(whole, reading, "what follows is not its business");
        }
        Ok(None) => unreachable!("that was looked for"),
        // Certain at the first byte that is wrong, whatever follows.
        Err(Malformed::Absent | Malformed::Broken(_) | Malformed::TooLong) => {
            assert_eq!(whole, reading);
        }
    }
}
