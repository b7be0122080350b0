//! A share of the clients, and the place of a client that decides whether it is in it.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
#[cfg(feature = "server")]
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{Object, ObjectBuilder, Type},
    },
};

/// A share in hundredths of a percent, from 0 to 10,000. In JSON it is a number of percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u16);

/// The number of buckets that clients are distributed over.
pub const BUCKETS: u16 = 10_000;

/// The place of a client in a rollout, from 0 to 9,999. The clients with the lowest places come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "server", derive(ToSchema))]
#[cfg_attr(feature = "server", schema(value_type = u16, maximum = 9999))]
pub struct Bucket(u16);

impl Bucket {
    /// The last place, which belongs to clients that do not say who they are.
    pub const LAST: Self = Self(BUCKETS - 1);

    /// Returns the place that a random number leads to.
    pub fn of(number: u64) -> Self {
        Self(u16::try_from(number % u64::from(BUCKETS)).unwrap_or(BUCKETS - 1))
    }
}

impl Share {
    pub const NOBODY: Self = Self(0);
    pub const EVERYONE: Self = Self(BUCKETS);

    /// Returns a share of whole percent.
    #[cfg(test)]
    pub const fn percent(percent: u16) -> Self {
        Self(percent * 100)
    }

    /// Reports whether a client at this place belongs to the share.
    pub const fn contains(self, bucket: Bucket) -> bool {
        bucket.0 < self.0
    }

    pub const fn is_everyone(self) -> bool {
        self.0 == BUCKETS
    }

    /// Returns the share of a number, rounded to the nearest.
    pub fn of(self, number: u64) -> u64 {
        let share = (u128::from(number) * u128::from(self.0) + u128::from(BUCKETS / 2))
            / u128::from(BUCKETS);
        u64::try_from(share).unwrap_or(number)
    }

    /// Reports whether `part` of `whole` is more than this share.
    pub fn is_exceeded_by(self, part: u64, whole: u64) -> bool {
        u128::from(part) * u128::from(BUCKETS) > u128::from(self.0) * u128::from(whole)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / 100, self.0 % 100);
        match hundredths {
            0 => write!(f, "{whole}"),
            tenths if tenths % 10 == 0 => write!(f, "{whole}.{}", tenths / 10),
            _ => write!(f, "{whole}.{hundredths:02}"),
        }
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Whole numbers stay whole: scripts compare them.
        if self.0.is_multiple_of(100) {
            serializer.serialize_u16(self.0 / 100)
        } else {
            serializer.serialize_f64(f64::from(self.0) / 100.0)
        }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Percent)
    }
}

/// Reads a number of percent.
struct Percent;

impl Visitor<'_> for Percent {
    type Value = Share;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of percent from 0 to 100, in steps of 0.01")
    }

    fn visit_u64<E: de::Error>(self, percent: u64) -> Result<Share, E> {
        let percent = u16::try_from(percent).ok().filter(|percent| *percent <= 100);
        percent
            .map(|percent| Share(percent * 100))
            .ok_or_else(|| E::custom("must be from 0 to 100 percent"))
    }

    fn visit_i64<E: de::Error>(self, percent: i64) -> Result<Share, E> {
        self.visit_u64(u64::try_from(percent).unwrap_or(u64::MAX))
    }

    fn visit_f64<E: de::Error>(self, percent: f64) -> Result<Share, E> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(E::custom("must be from 0 to 100 percent"));
        }
        let wanted = (percent * 100.0).round();
        if (percent * 100.0 - wanted).abs() > 1e-6 {
            return Err(E::custom("must be in steps of 0.01 percent"));
        }
        // A whole number up to 10,000 is written without a fraction.
        let hundredths = format!("{wanted:.0}").parse().ok();
        hundredths.map(Share).ok_or_else(|| E::custom("must be from 0 to 100 percent"))
    }
}

#[cfg(feature = "server")]
impl PartialSchema for Share {
    fn schema() -> RefOr<Schema> {
        let number: Object = ObjectBuilder::new()
            .schema_type(Type::Number)
            .description(Some("A share of the clients in percent, in steps of 0.01"))
            .minimum(Some(0.0))
            .maximum(Some(100.0))
            .build();
        number.into()
    }
}

#[cfg(feature = "server")]
impl ToSchema for Share {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_shown_without_needless_digits() {
        for (text, shown) in [("100", "100"), ("0.05", "0.05"), ("12.50", "12.5"), ("0", "0")] {
            let share: Share = serde_json::from_str(text).unwrap();
            assert_eq!(share.to_string(), shown);
        }
    }

    #[test]
    fn the_last_client_is_in_only_when_everyone_is() {
        assert!(Share::EVERYONE.contains(Bucket::LAST));
        assert!(!Share(9999).contains(Bucket::LAST));
        assert!(!Share::NOBODY.contains(Bucket::of(0)));
        assert!(Share(1).contains(Bucket::of(10_000)));
    }

    #[test]
    fn exactly_the_allowed_share_of_failures_is_not_too_much() {
        assert!(!Share::percent(5).is_exceeded_by(1, 20));
        assert!(Share::percent(5).is_exceeded_by(2, 20));
    }
}
