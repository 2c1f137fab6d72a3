//! Time as the core sees it: two numbers that come in from outside.

/// A moment, read once per turn by the outermost layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds of a clock that never goes back; its zero is arbitrary.
    pub mono: u64,
    /// Milliseconds since the Unix epoch.
    pub wall: u64,
}

impl Now {
    /// The same moment, later.
    #[must_use]
    pub fn after(self, milliseconds: u64) -> Self {
        Self {
            mono: self.mono + milliseconds,
            wall: self.wall + milliseconds,
        }
    }
}
