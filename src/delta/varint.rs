//! Numbers of variable length, as protobuf writes them (LEB128: seven bits a byte, the lowest first, the highest bit set
//! in all but the last byte), and the reader of untrusted bytes that takes them apart.

/// The longest number of 64 bits.
const LONGEST: usize = 10;

/// Appends a number.
pub(super) fn put(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(low_byte(number) | 0x80);
        number >>= 7;
    }
    to.push(low_byte(number));
}

/// Appends a number that may be negative: 0, -1, 1, -2, 2, … are written as 0, 1, 2, 3, 4, ….
pub(super) fn put_signed(to: &mut Vec<u8>, number: i64) {
    put(to, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

const fn low_byte(number: u64) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}

/// The unread rest of some bytes. All methods return `None` if the bytes end early or the number has another form than
/// [`put`] gives it, so that equal contents have equal bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for place in 0..LONGEST {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shift = 7 * place;
            // The tenth byte has room for one bit.
            if place == LONGEST - 1 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // A last byte of zero would be a longer form of the same number.
                return (byte != 0 || place == 0).then_some(number);
            }
        }
        None
    }

    pub(super) fn length(&mut self) -> Option<usize> {
        self.number()?.try_into().ok()
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Takes so many numbers, to be read later.
    pub(super) fn numbers(&mut self, count: usize) -> Option<Self> {
        let all = self.0;
        for _ in 0..count {
            self.number()?;
        }
        Some(Self(&all[..all.len() - self.0.len()]))
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_read_back(number: u64, signed: i64) {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            put_signed(&mut bytes, signed);
            let mut rest = Bytes(&bytes);
            prop_assert_eq!((rest.number(), rest.signed()), (Some(number), Some(signed)));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn what_is_read_is_written_alike(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut rest = Bytes(&bytes);
            if let Some(number) = rest.number() {
                let mut again = Vec::new();
                put(&mut again, number);
                prop_assert_eq!(&again[..], &bytes[..bytes.len() - rest.0.len()]);
            }
        }
    }
}
