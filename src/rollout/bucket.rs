//! The place of a client in a rollout. It is sticky: the same client has the same place in a promotion on every server
//! and at any time, and another place in another promotion.

use uuid::Uuid;

use crate::model::rollout::Bucket;
use crate::model::{ClientId, Digest};

/// The longest text of a promotion's id, a separator and a client's id.
const LONGEST: usize = 36 + 1 + 64;

/// Returns the place of a client: the first eight bytes of SHA-256(promotion id as text, a zero byte, client id in lower
/// case) as a big-endian number, modulo 10,000. A client that does not say who it is comes last.
pub fn bucket(promotion: Uuid, client: Option<&ClientId>) -> Bucket {
    let Some(client) = client else { return Bucket::LAST };
    let mut text = [0_u8; LONGEST];
    promotion.hyphenated().encode_lower(&mut text);
    let (id, end) = (client.as_str().as_bytes(), 37 + client.as_str().len());
    text[37..end].copy_from_slice(id);
    text[37..end].make_ascii_lowercase();
    let digest = Digest::of(&text[..end]);
    let first = digest.as_bytes().first_chunk().copied().unwrap_or_default();
    Bucket::of(u64::from_be_bytes(first))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::model::rollout::Share;

    fn client(number: u32) -> ClientId {
        format!("PC-{number:05}").parse().unwrap()
    }

    fn in_the_first(percent: u16, promotion: Uuid) -> HashSet<u32> {
        let share = Share::percent(percent);
        (0..20_000).filter(|n| share.contains(bucket(promotion, Some(&client(*n))))).collect()
    }

    #[test]
    fn the_place_is_the_one_that_anybody_can_work_out_from_the_documents() {
        let promotion = Uuid::from_u128(0x0192_8374_6574_7839_8201_abcd_ef01_2345);
        let mut hash = Sha256::new();
        hash.update(b"01928374-6574-7839-8201-abcdef012345\0pc-0815");
        let digest = hash.finalize();
        let number = u64::from_be_bytes(digest[..8].try_into().unwrap());
        for name in ["PC-0815", "pc-0815"] {
            assert_eq!(bucket(promotion, Some(&name.parse().unwrap())), Bucket::of(number));
        }
    }

    #[test]
    fn two_promotions_begin_with_other_clients() {
        let (one, other) =
            (in_the_first(5, Uuid::from_u128(1)), in_the_first(5, Uuid::from_u128(2)));
        // 5 % of 5 % of 20,000 is 50; its standard deviation is below 7.
        let both = one.intersection(&other).count();
        assert!((20..=80).contains(&both), "{both} clients are among the first of both");
    }

    #[test]
    fn clients_are_spread_evenly_over_the_places() {
        let mut counts = [0_f64; 100];
        for number in 0..20_000 {
            let bucket = bucket(Uuid::from_u128(3), Some(&client(number)));
            let hundredth = (1..=100).find(|p| Share::percent(*p).contains(bucket)).unwrap();
            counts[usize::from(hundredth) - 1] += 1.0;
        }
        let chi_square: f64 = counts.iter().map(|count| (count - 200.0).powi(2) / 200.0).sum();
        // With 99 degrees of freedom, one in a thousand exceeds 148.2 (NIST/SEMATECH e-Handbook, table 1.3.6.7.4).
        assert!(chi_square < 148.2, "{chi_square}");
    }
}
