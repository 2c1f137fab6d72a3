//! What a raw client resumes from: the newest id of each channel, kept as text. It knows of ids
//! only that their first characters tell the channel.

/// One version character and 10 of base64url: 60 bits of the channel part.
const CHANNEL_CHARACTERS: usize = 11;

/// A cursor in the making.
#[derive(Clone, Debug, Default)]
pub struct Position {
    segments: Vec<String>,
}

impl Position {
    /// Takes in what the server said: an id, or a cursor of many.
    pub fn absorb(&mut self, cursor: &str) {
        for segment in cursor.split('.').filter(|segment| !segment.is_empty()) {
            let channel = segment.get(..CHANNEL_CHARACTERS);
            let mut held = self.segments.iter_mut();
            match held.find(|held| held.get(..CHANNEL_CHARACTERS) == channel) {
                Some(held) => segment.clone_into(held),
                None => self.segments.push(segment.to_owned()),
            }
        }
    }

    /// The cursor; empty where nothing was said yet.
    #[must_use]
    pub fn text(&self) -> String {
        self.segments.join(".")
    }
}
