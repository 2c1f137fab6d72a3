//! How rates are written: `100/s`, `100/s, burst 200`, `6000/min`.

use bellwire_core::rate::Rate;

use super::Kind;

const UNITS: [(&str, u64); 3] = [("s", 1_000), ("min", 60_000), ("h", 3_600_000)];

/// So many in a span of time, and how many at once: as many unless it is said.
pub(super) struct Often;

impl Kind for Often {
    type Value = Rate;
    const NAME: &'static str = "RATE";

    fn read(text: &str) -> Result<Rate, String> {
        let wrong = || format!("{text:?} is not a rate; write 100/s, 6000/min or 100/s, burst 200");
        let (often, burst) = text
            .split_once(',')
            .map_or((text, None), |(often, burst)| (often, Some(burst)));
        let (count, unit) = often.split_once('/').ok_or_else(wrong)?;
        let count = number(count).ok_or_else(wrong)?;
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
        let per_ms = unit.ok_or_else(wrong)?.1;
        let burst = match burst.map(|burst| burst.trim().strip_prefix("burst ")) {
            None => count,
            Some(burst) => burst.and_then(number).ok_or_else(wrong)?,
        };
        Ok(Rate {
            count,
            per_ms,
            burst,
        })
    }

    fn show(value: &Rate) -> String {
        let unit = UNITS.iter().find(|(_, per_ms)| *per_ms == value.per_ms);
        let unit = unit.map_or("s", |(name, _)| *name);
        let (count, burst) = (value.count, value.burst);
        if burst == count {
            format!("{count}/{unit}")
        } else {
            format!("{count}/{unit}, burst {burst}")
        }
    }
}

/// A million in a second is no bound any more.
fn number(text: &str) -> Option<u32> {
    let number = text.trim().replace('_', "").parse().ok()?;
    (1..=1_000_000).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_they_are_shown() {
        for text in ["100/s", "100/s, burst 200", "6000/min", "1/h, burst 3"] {
            assert_eq!(Often::show(&Often::read(text).unwrap()), text);
        }
        let rate = Often::read(" 1_000 / s,burst 5 ").unwrap();
        assert_eq!((rate.count, rate.per_ms, rate.burst), (1_000, 1_000, 5));
        for bad in [
            "",
            "100",
            "0/s",
            "-1/s",
            "100/day",
            "100/s, 200",
            "100/s, burst 0",
            "9999999/s",
        ] {
            assert!(Often::read(bad).is_err(), "{bad}");
        }
    }
}
