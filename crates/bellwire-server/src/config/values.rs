//! How single settings are written: durations, sizes, addresses, words.
//!
//! Every value has one text form that flags, environment and TOML share. Used by the table of
//! settings; knows nothing of keys or sources. Errors are half sentences that say what to write.

use std::{
    fmt::Debug,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// A kind of value: how it is read and written.
pub(crate) trait Kind {
    type Value;
    /// What stands for it in usage texts.
    const NAME: &'static str;
    /// Whether TOML writes it without quotes.
    const BARE: bool = false;
    fn read(text: &str) -> Result<Self::Value, String>;
    fn show(value: &Self::Value) -> String;
}

/// `true` or `false`; also `1` and `0`, for the environment.
pub(super) struct Switch;

impl Kind for Switch {
    type Value = bool;
    const NAME: &'static str = "";
    const BARE: bool = true;

    fn read(text: &str) -> Result<bool, String> {
        match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(format!("{text:?} is neither true nor false")),
        }
    }

    fn show(value: &bool) -> String {
        value.to_string()
    }
}

/// A whole number of things, at least 1.
pub(super) struct Count;

impl Kind for Count {
    type Value = usize;
    const NAME: &'static str = "N";
    const BARE: bool = true;

    fn read(text: &str) -> Result<usize, String> {
        match text.replace('_', "").parse() {
            Ok(0) => Err("0 is too small; the least is 1".to_owned()),
            Ok(count) => Ok(count),
            Err(_) => Err(format!("{text:?} is not a whole number")),
        }
    }

    fn show(value: &usize) -> String {
        value.to_string()
    }
}

/// A whole number of things, 0 included.
pub(super) struct CountOrZero;

impl Kind for CountOrZero {
    type Value = usize;
    const NAME: &'static str = "N";
    const BARE: bool = true;

    fn read(text: &str) -> Result<usize, String> {
        text.replace('_', "")
            .parse()
            .map_err(|_| format!("{text:?} is not a whole number"))
    }

    fn show(value: &usize) -> String {
        value.to_string()
    }
}

const SIZES: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Bytes: `64KiB`, `8MiB`, `1GB`, or a plain number.
pub(super) struct Size;

impl Kind for Size {
    type Value = usize;
    const NAME: &'static str = "SIZE";

    fn read(text: &str) -> Result<usize, String> {
        let wrong = || format!("{text:?} is not a size; write 65536, 64KiB, 8MiB or 1GiB");
        let unit = SIZES
            .iter()
            .find_map(|&(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
        let (number, bytes) = unit.unwrap_or((text, 1));
        let number: usize = number
            .trim()
            .replace('_', "")
            .parse()
            .map_err(|_| wrong())?;
        number.checked_mul(bytes).ok_or_else(wrong)
    }

    fn show(value: &usize) -> String {
        let binary = SIZES[..3]
            .iter()
            .find(|(_, bytes)| *value > 0 && value.is_multiple_of(*bytes));
        binary.map_or_else(
            || value.to_string(),
            |(unit, bytes)| format!("{}{unit}", value / bytes),
        )
    }
}

const TIMES: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("min", 60_000),
    ("m", 60_000),
    ("h", 3_600_000),
];

/// A span of time: `250ms`, `20s`, `10min`, `1h`, `7d`.
pub(super) struct Time;

impl Kind for Time {
    type Value = Duration;
    const NAME: &'static str = "TIME";

    fn read(text: &str) -> Result<Duration, String> {
        read_millis(text).map(Duration::from_millis)
    }

    fn show(value: &Duration) -> String {
        show_millis(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }
}

/// A span of time held in milliseconds.
pub(super) struct Millis;

impl Kind for Millis {
    type Value = u64;
    const NAME: &'static str = "TIME";

    fn read(text: &str) -> Result<u64, String> {
        read_millis(text)
    }

    fn show(value: &u64) -> String {
        show_millis(*value)
    }
}

/// Reads a span of time such as `20s` into milliseconds; a bare `0` is none.
///
/// # Errors
/// A half sentence that shows how to write it.
pub fn read_millis(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a time; write 250ms, 20s, 10min, 1h or 7d");
    if text == "0" {
        return Ok(0);
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let scale = match unit.trim() {
        "d" => 86_400_000,
        unit => {
            TIMES
                .iter()
                .find(|(name, _)| *name == unit)
                .ok_or_else(wrong)?
                .1
        }
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(scale).ok_or_else(wrong)
}

fn show_millis(millis: u64) -> String {
    match millis {
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}min", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// A range of time from which a random one is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The shortest.
    pub min: Duration,
    /// The longest, at least `min`.
    pub max: Duration,
}

impl Kind for TimeRange {
    type Value = Self;
    const NAME: &'static str = "TIME..TIME";

    fn read(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let (min, max) = (Time::read(min.trim())?, Time::read(max.trim())?);
        if min > max {
            return Err(format!(
                "{text:?} runs backwards; write the shorter time first"
            ));
        }
        Ok(Self { min, max })
    }

    fn show(value: &Self) -> String {
        format!("{}..{}", Time::show(&value.min), Time::show(&value.max))
    }
}

/// `IP:PORT`, `[IP6]:PORT` or `localhost:PORT`.
pub(super) struct Address;

impl Kind for Address {
    type Value = SocketAddr;
    const NAME: &'static str = "ADDR";

    fn read(text: &str) -> Result<SocketAddr, String> {
        let port = text
            .strip_prefix("localhost:")
            .and_then(|port| port.parse().ok());
        if let Some(port) = port {
            return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        text.parse().map_err(|_| {
            format!("{text:?} is not an address; write 127.0.0.1:2355, 0.0.0.0:2355 or [::]:2355")
        })
    }

    fn show(value: &SocketAddr) -> String {
        value.to_string()
    }
}

/// Where operations answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// On `127.0.0.1:2356`; with `--dev` on the main listener.
    Standard,
    /// Nowhere.
    Off,
    /// On a listener of their own.
    At(SocketAddr),
}

impl Kind for AdminListen {
    type Value = Self;
    const NAME: &'static str = "ADDR|off";

    fn read(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Standard),
            "off" => Ok(Self::Off),
            _ => Address::read(text)
                .map(Self::At)
                .map_err(|e| format!("{e}, or off")),
        }
    }

    fn show(value: &Self) -> String {
        match value {
            Self::Standard => "auto".to_owned(),
            Self::Off => "off".to_owned(),
            Self::At(address) => address.to_string(),
        }
    }
}

/// An address, or all that share its first bits: `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether an address is in it. An IPv4 address in IPv6 form counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |width: u8| width - self.bits;
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.checked_shr(shift(32).into()).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.checked_shr(shift(128).into()).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl Kind for Network {
    type Value = Self;
    const NAME: &'static str = "NETWORK";

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a network; write 10.0.0.7, 10.0.0.0/8 or fd00::/8");
        let (base, bits) = text
            .split_once('/')
            .map_or((text, None), |(a, b)| (a, Some(b)));
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > width {
            return Err(wrong());
        }
        Ok(Self { base, bits })
    }

    fn show(value: &Self) -> String {
        format!("{}/{}", value.base, value.bits)
    }
}

/// A value that the server finds out by itself unless it is given.
pub(super) struct Auto<K>(std::marker::PhantomData<K>);

impl<K: Kind> Kind for Auto<K> {
    type Value = Option<K::Value>;
    const NAME: &'static str = K::NAME;

    fn read(text: &str) -> Result<Self::Value, String> {
        if text == "auto" {
            Ok(None)
        } else {
            K::read(text).map(Some)
        }
    }

    fn show(value: &Self::Value) -> String {
        value.as_ref().map_or_else(|| "auto".to_owned(), K::show)
    }
}

/// A bound that is not there unless it is given.
pub(super) struct Off<K>(std::marker::PhantomData<K>);

impl<K: Kind> Kind for Off<K> {
    type Value = Option<K::Value>;
    const NAME: &'static str = K::NAME;

    fn read(text: &str) -> Result<Self::Value, String> {
        if text == "off" {
            Ok(None)
        } else {
            K::read(text).map(Some)
        }
    }

    fn show(value: &Self::Value) -> String {
        value.as_ref().map_or_else(|| "off".to_owned(), K::show)
    }
}

/// The path of a file.
pub(super) struct File;

impl Kind for File {
    type Value = PathBuf;
    const NAME: &'static str = "FILE";

    fn read(text: &str) -> Result<PathBuf, String> {
        Text::read(text).map(PathBuf::from)
    }

    fn show(value: &PathBuf) -> String {
        value.to_string_lossy().into_owned()
    }
}

/// Any text that is not empty.
pub(super) struct Text;

impl Kind for Text {
    type Value = String;
    const NAME: &'static str = "TEXT";

    fn read(text: &str) -> Result<String, String> {
        if text.is_empty() {
            Err("it is empty".to_owned())
        } else {
            Ok(text.to_owned())
        }
    }

    fn show(value: &String) -> String {
        value.clone()
    }
}

/// One of a few words.
pub(crate) trait Word: Copy + PartialEq + Debug + 'static {
    const WORDS: &'static [(&'static str, Self)];
    const NAME: &'static str;
}

impl<W: Word> Kind for W {
    type Value = W;
    const NAME: &'static str = <W as Word>::NAME;

    fn read(text: &str) -> Result<W, String> {
        let found = W::WORDS.iter().find(|(word, _)| *word == text);
        found.map(|&(_, value)| value).ok_or_else(|| {
            let words: Vec<&str> = W::WORDS.iter().map(|(word, _)| *word).collect();
            format!("{text:?} is not one of {}", words.join(", "))
        })
    }

    fn show(value: &W) -> String {
        let found = W::WORDS.iter().find(|(_, known)| known == value);
        found.map_or_else(String::new, |(word, _)| (*word).to_owned())
    }
}
