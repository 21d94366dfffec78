//! Durations as Go writes them: `10s`, `500ms`, `1m30s`, `1.5h`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// A signed number of nanoseconds with Go's text form; at most about 292 years either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct GoDuration(i64);

/// Why a text is no duration. The texts are Go's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DurationError {
    /// No number, or one that does not fit.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without a unit, such as `"10"`.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit other than `ns`, `us`, `µs`, `ms`, `s`, `m` and `h`.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// The unit that was found.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl GoDuration {
    /// No time at all, which Fabric's peer takes as "not given".
    pub const ZERO: Self = Self(0);

    /// A duration of so many nanoseconds.
    pub const fn from_nanos(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// A duration of so many whole seconds.
    pub const fn from_secs(seconds: u32) -> Self {
        Self(seconds as i64 * 1_000_000_000)
    }

    /// The nanoseconds.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The same time, unless it is negative.
    pub fn to_std(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    /// Reads an optional sign and a row of numbers with units, as Go's `time.ParseDuration`; `0` needs no unit.
    fn from_str(text: &str) -> Result<Self, DurationError> {
        let invalid = || DurationError::Invalid(text.to_owned());
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let (nanoseconds, after) = term(rest, text)?;
            total += nanoseconds;
            if total > 1 << 63 {
                return Err(invalid());
            }
            rest = after;
        }
        let total = i128::try_from(total).map_err(|_| invalid())?;
        i64::try_from(if negative { -total } else { total }).map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for GoDuration {
    /// Writes the form of Go's `Duration.String`: `1m30s`, `500ms`, `0s`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.unsigned_abs();
        if self.0 < 0 {
            formatter.write_str("-")?;
        }
        match nanoseconds {
            0 => formatter.write_str("0s"),
            1..1_000 => write!(formatter, "{nanoseconds}ns"),
            1_000..1_000_000 => write!(formatter, "{}µs", decimal(nanoseconds, 1_000)),
            1_000_000..1_000_000_000 => write!(formatter, "{}ms", decimal(nanoseconds, 1_000_000)),
            _ => {
                let minutes = nanoseconds / 60_000_000_000;
                if minutes >= 60 {
                    write!(formatter, "{}h", minutes / 60)?;
                }
                if minutes > 0 {
                    write!(formatter, "{}m", minutes % 60)?;
                }
                write!(formatter, "{}s", decimal(nanoseconds % 60_000_000_000, 1_000_000_000))
            }
        }
    }
}

/// One number with its unit at the start of `rest`: its nanoseconds and what follows.
fn term<'a>(rest: &'a str, text: &str) -> Result<(u128, &'a str), DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (whole, after) = digits(rest);
    let (fraction, after) = match after.strip_prefix('.') {
        Some(after) => digits(after),
        None => ("", after),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
    let (unit, after) = after.split_at(end);
    let nanoseconds: u64 = match unit {
        "" => return Err(DurationError::MissingUnit(text.to_owned())),
        "ns" => 1,
        // Go takes the micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() }),
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    Ok((u128::from(whole) * u128::from(nanoseconds) + fraction_of(fraction, nanoseconds), after))
}

/// `unit * 0.fraction`, rounded down; digits past the eighteenth are below a nanosecond for every unit.
fn fraction_of(fraction: &str, unit: u64) -> u128 {
    let mut sum = 0;
    let mut scale: u128 = 1;
    for digit in fraction.bytes().take(18) {
        sum = sum * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    sum * u128::from(unit) / scale
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `value / unit` without trailing zeros.
fn decimal(value: u64, unit: u64) -> String {
    let fraction = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
    match fraction.trim_end_matches('0') {
        "" => (value / unit).to_string(),
        fraction => format!("{}.{fraction}", value / unit),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{DurationError, GoDuration};

    #[test]
    fn go_texts_are_read() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("-0", 0),
            ("10s", 10_000_000_000),
            ("500ms", 500_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("+3us", 3_000),
            ("3µs", 3_000),
            ("3\u{3bc}s", 3_000),
            ("-2ns", -2),
            ("0.9ns", 0),
            ("0.100000000000000000000h", 360_000_000_000),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ] {
            assert_eq!(text.parse(), Ok(GoDuration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_in_gos_words() {
        for (text, error) in [
            ("", "time: invalid duration \"\""),
            ("-", "time: invalid duration \"-\""),
            ("s", "time: invalid duration \"s\""),
            (".s", "time: invalid duration \".s\""),
            ("9223372036854775808ns", "time: invalid duration \"9223372036854775808ns\""),
            (
                "99999999999999999999999999999999999999999h",
                "time: invalid duration \"99999999999999999999999999999999999999999h\"",
            ),
            ("10", "time: missing unit in duration \"10\""),
            ("1d", "time: unknown unit \"d\" in duration \"1d\""),
            ("1 s", "time: unknown unit \" s\" in duration \"1 s\""),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn durations_are_written_as_go_does() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (3_300_000_000, "3.3s"),
            (245_001_000_000, "4m5.001s"),
            (3_600_000_000_000, "1h0m0s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(GoDuration::from_nanos(nanoseconds).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn every_duration_reads_back(nanoseconds: i64) {
            let duration = GoDuration::from_nanos(nanoseconds);
            prop_assert_eq!(duration.to_string().parse::<GoDuration>(), Ok(duration));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "[-+.0-9a-zµ ]{0,40}|.*") {
            if let Err(DurationError::UnknownUnit { unit, .. }) = text.parse::<GoDuration>() {
                prop_assert!(!unit.is_empty());
            }
        }
    }
}
