//! The items of a publish body: one object, an array, or one after the other.
//!
//! Only envelopes are parsed. Called by [`super::publish`]; knows neither access nor the log.

use std::fmt;

use bellwire_core::draft::DraftText;
use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde_json::{Deserializer, value::RawValue};

use crate::problem::{Problem, TOO_LARGE};

/// How many items came, and so how they are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Array,
    Lines,
}

/// An item, or why it can't be read.
pub(super) type Item<'a> = Result<DraftText<'a>, Problem>;

/// Divides a body into at most `max` items.
///
/// # Errors
/// It is not JSON, or there are more. An item that is JSON, but no publication, is not an error
/// of the body.
pub(super) fn read(body: &[u8], max: usize) -> Result<(Shape, Vec<Item<'_>>), Problem> {
    let body = std::str::from_utf8(body).map_err(unreadable)?;
    // Mostly all items are well-formed, and one pass over the body reads them.
    if let Some((shape, texts)) = read_all(body, max) {
        return Ok((shape, texts.into_iter().map(Ok).collect()));
    }
    let (shape, values) = split(body)?;
    if values.len() > max {
        let detail = format!("{} items; at most {max} at once", values.len());
        return Err(Problem {
            field: Some("body"),
            ..Problem::new(TOO_LARGE, detail)
        });
    }
    let items = values.into_iter().map(|value| {
        serde_json::from_str(value.get()).map_err(|error| {
            let detail = format!("{error}; an item is {{\"channel\":…,\"data\":…}}");
            Problem::invalid("body", detail)
        })
    });
    Ok((shape, items.collect()))
}

/// The items where nothing is wrong with any of them, nor with their number.
fn read_all(body: &str, max: usize) -> Option<(Shape, Vec<DraftText<'_>>)> {
    let mut json = Deserializer::from_str(body);
    if is_array(body) {
        let items = AtMost(max).deserialize(&mut json).ok()?;
        json.end().ok()?;
        return Some((Shape::Array, items));
    }
    let items = json.into_iter().take(max + 1);
    let items: Vec<_> = items.collect::<Result<_, _>>().ok()?;
    match items.len() {
        0 => None,
        1 => Some((Shape::One, items)),
        count => (count <= max).then_some((Shape::Lines, items)),
    }
}

/// The top-level values of a body.
fn split(body: &str) -> Result<(Shape, Vec<&RawValue>), Problem> {
    if is_array(body) {
        let values = serde_json::from_str(body).map_err(unreadable)?;
        return Ok((Shape::Array, values));
    }
    let values = Deserializer::from_str(body).into_iter::<&RawValue>();
    let values = values.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    match values.len() {
        0 => Err(Problem::invalid(
            "body",
            "the body is empty; send {\"channel\":…,\"data\":…}",
        )),
        1 => Ok((Shape::One, values)),
        _ => Ok((Shape::Lines, values)),
    }
}

fn is_array(body: &str) -> bool {
    body.as_bytes().trim_ascii_start().starts_with(b"[")
}

fn unreadable(error: impl fmt::Display) -> Problem {
    let detail = format!("{error}; send one JSON object, an array of them, or one per line");
    Problem::invalid("body", detail)
}

/// Reads an array of publications, and gives up where there are more: items take more memory than
/// their text.
struct AtMost(usize);

impl<'de> DeserializeSeed<'de> for AtMost {
    type Value = Vec<DraftText<'de>>;

    fn deserialize<D: serde::Deserializer<'de>>(self, array: D) -> Result<Self::Value, D::Error> {
        array.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AtMost {
    type Value = Vec<DraftText<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} publications", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = array.next_element()? {
            if items.len() == self.0 {
                return Err(A::Error::invalid_length(self.0 + 1, &self));
            }
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(body: &str, max: usize) -> Result<(Shape, Vec<bool>), Problem> {
        let (shape, items) = read(body.as_bytes(), max)?;
        Ok((shape, items.iter().map(Result::is_ok).collect()))
    }

    const GOOD: &str = r#"{"channel":"a","data":1}"#;

    #[test]
    fn a_bad_item_does_not_spoil_the_others() {
        let bad = r#"{"chanel":"a","data":1}"#;
        let array = format!("[{GOOD},{bad},{GOOD}]");
        assert_eq!(
            shape(&array, 3).unwrap(),
            (Shape::Array, vec![true, false, true])
        );
        let lines = format!("{GOOD}\n{bad}");
        assert_eq!(shape(&lines, 2).unwrap(), (Shape::Lines, vec![true, false]));
        assert_eq!(shape(bad, 1).unwrap(), (Shape::One, vec![false]));
    }

    #[test]
    fn the_number_of_items_is_bounded_in_every_shape() {
        for body in [format!("[{GOOD},{GOOD}]"), format!("{GOOD}{GOOD}")] {
            assert_eq!(shape(&body, 2).unwrap().1, [true, true]);
            assert_eq!(shape(&body, 1).unwrap_err().code.name, "too_large");
        }
    }

    #[test]
    fn what_is_not_json_to_its_end_is_refused_whole() {
        for body in ["", "[", "[]]", "{", "\u{0}"] {
            assert_eq!(shape(body, 9).unwrap_err().code.name, "invalid", "{body}");
        }
        assert!(read(b"\xff", 9).is_err());
        assert_eq!(shape("[]", 9).unwrap(), (Shape::Array, vec![]));
    }
}
