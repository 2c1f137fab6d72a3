//! Budgets of memory that the connections of a shard share. Who holds some of it gives it back when
//! it is dropped. What it is used for is the holder's matter.

use std::{cell::Cell, rc::Rc};

/// A budget, in bytes. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Room {
    bytes: usize,
    held: Rc<Cell<usize>>,
}

/// A part of it.
#[derive(Debug)]
pub(super) struct Share {
    room: Room,
    bytes: usize,
}

/// The budgets of a shard.
#[derive(Debug)]
pub(super) struct Rooms {
    /// For what connections remember of messages that they compressed.
    pub(super) contexts: Room,
    /// For answers that polls have not taken yet.
    pub(super) answers: Room,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            held: Rc::default(),
        }
    }

    /// What nobody holds.
    pub(super) fn left(&self) -> usize {
        self.bytes.saturating_sub(self.held.get())
    }

    /// Takes some. Whether so much is left is the caller's to ask.
    pub(super) fn hold(&self, bytes: usize) -> Share {
        self.held.set(self.held.get() + bytes);
        Share {
            room: self.clone(),
            bytes,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.held.set(self.room.held.get() - self.bytes);
    }
}
