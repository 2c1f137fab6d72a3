//! What a peer can do wrong on an open WebSocket, and the close code that answers it. Raised by
//! the decoder; whoever owns the socket sends the close frame. Always the peer's fault, so it
//! is never worth more than a debug log line.

use super::close;

/// A breach of RFC 6455 or of a limit. Its text fits the reason of a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A reserved bit is set although no extension was agreed on (§5.2).
    #[error("reserved bits are set but no extension was negotiated")]
    ReservedBits,
    /// The opcode is one of the reserved ones (§5.2).
    #[error("unknown opcode {0:#x}")]
    UnknownOpcode(u8),
    /// A ping, pong or close frame without FIN (§5.5).
    #[error("control frame is fragmented")]
    ControlFragmented,
    /// A ping, pong or close frame of more than 125 bytes (§5.5).
    #[error("control frame is longer than 125 bytes")]
    ControlTooLong,
    /// A continuation frame while no message is open (§5.4).
    #[error("continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A text or binary frame while a fragmented message is open (§5.4).
    #[error("new message inside a fragmented message")]
    UnfinishedMessage,
    /// A length that is not in its shortest form (§5.2).
    #[error("payload length is not minimally encoded")]
    LengthNotMinimal,
    /// A 64-bit length with its most significant bit set (§5.2).
    #[error("payload length has its most significant bit set")]
    LengthOverflow,
    /// A client sent an unmasked frame (§5.1).
    #[error("client frame is not masked")]
    Unmasked,
    /// A server sent a masked frame (§5.1).
    #[error("server frame is masked")]
    Masked,
    /// A close payload of a single byte (§5.5.1).
    #[error("close payload of one byte")]
    CloseTooShort,
    /// A close code that must not be sent (§7.4).
    #[error("close code {0} is not allowed")]
    CloseCode(u16),
    /// A text message or a close reason that is not UTF-8 (§8.1).
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A compressed message that is not deflate (RFC 7692 §7.2.2).
    #[error("message can't be decompressed")]
    InvalidDeflate,
    /// The message, over all its fragments and decompressed, is, or is announced to be longer than the limit, in bytes.
    #[error("message is longer than {0} bytes")]
    MessageTooLong(usize),
    /// More empty fragments than [`MAX_EMPTY_FRAGMENTS`](super::MAX_EMPTY_FRAGMENTS).
    #[error("too many empty fragments")]
    TooManyEmptyFragments,
}

impl Violation {
    /// The close code to answer with: 1002, 1007 or 1009.
    pub fn close_code(self) -> u16 {
        match self {
            Self::ReservedBits
            | Self::UnknownOpcode(_)
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::UnexpectedContinuation
            | Self::UnfinishedMessage
            | Self::LengthNotMinimal
            | Self::LengthOverflow
            | Self::Unmasked
            | Self::Masked
            | Self::CloseTooShort
            | Self::CloseCode(_) => close::PROTOCOL_ERROR,
            Self::InvalidUtf8 | Self::InvalidDeflate => close::INVALID_PAYLOAD,
            Self::MessageTooLong(_) | Self::TooManyEmptyFragments => close::TOO_BIG,
        }
    }
}
