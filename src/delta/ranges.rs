//! The parts of the base that a piece is made from.

use super::error::{Action, Error, Place};
use super::read_at::ReadAt;
use super::varint::{Bytes, put, put_signed};

/// Bytes of the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub offset: u64,
    pub length: u32,
}

/// Ranges of the base, in the order in which their bytes are joined. There is at least one, none is empty, and together
/// they have at most [`Ranges::LARGEST`] bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    list: Vec<Range>,
    total: usize,
}

impl Ranges {
    /// The largest number of bytes in all ranges of a piece. More finds little more and costs both sides memory.
    pub const LARGEST: usize = 2 << 20;
    /// The largest number of ranges of a piece.
    pub const MOST: usize = 256;

    /// Takes ranges together; returns `None` if there are too many, or if they are too large.
    pub(super) fn new(list: Vec<Range>) -> Option<Self> {
        let add = |sum: usize, range: &Range| {
            let length = usize::try_from(range.length).ok().filter(|length| *length > 0)?;
            sum.checked_add(length).filter(|sum| *sum <= Self::LARGEST)
        };
        let total = list.iter().try_fold(0, add)?;
        (!list.is_empty() && list.len() <= Self::MOST).then_some(Self { list, total })
    }

    /// Returns the number of bytes in all of them.
    pub const fn total(&self) -> usize {
        self.total
    }

    pub fn list(&self) -> &[Range] {
        &self.list
    }

    /// Appends the ranges: their number, then for each one the distance from the end of the one before, and its length.
    pub(super) fn put(&self, to: &mut Vec<u8>) {
        put(to, self.list.len() as u64);
        let mut end = 0_u64;
        for range in &self.list {
            put_signed(to, range.offset.wrapping_sub(end).cast_signed());
            put(to, u64::from(range.length));
            end = range.offset + u64::from(range.length);
        }
    }

    /// Reads ranges of a base of this size.
    pub(super) fn take(bytes: &mut Bytes<'_>, base_size: u64) -> Option<Self> {
        let count = bytes.length().filter(|count| *count <= Self::MOST)?;
        let mut list = Vec::with_capacity(count);
        let mut end = 0_u64;
        for _ in 0..count {
            let offset = end.checked_add_signed(bytes.signed()?)?;
            let length = u32::try_from(bytes.number()?).ok()?;
            end = offset.checked_add(u64::from(length)).filter(|end| *end <= base_size)?;
            list.push(Range { offset, length });
        }
        Self::new(list)
    }

    /// Reads their bytes from the base into the buffer, whose content is replaced.
    pub(super) fn read(
        &self,
        base: &(impl ReadAt + ?Sized),
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        buffer.resize(self.total, 0);
        let mut rest = buffer.as_mut_slice();
        for range in &self.list {
            let length = usize::try_from(range.length).unwrap_or(0).min(rest.len());
            let (bytes, after) = rest.split_at_mut(length);
            base.read_exact_at(bytes, range.offset).map_err(Action::Read.on(Place::Base))?;
            rest = after;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(offset: u64, length: u32) -> Range {
        Range { offset, length }
    }

    #[test]
    fn ranges_are_read_back_unless_they_leave_the_base() {
        let ranges = Ranges::new(vec![range(5000, 10), range(0, 3), range(3, 1)]).unwrap();
        let mut bytes = Vec::new();
        ranges.put(&mut bytes);
        assert_eq!(Ranges::take(&mut Bytes(&bytes), 5010), Some(ranges));
        assert_eq!(Ranges::take(&mut Bytes(&bytes), 5009), None);
    }

    #[test]
    fn nothing_and_too_much_are_no_ranges() {
        let large = u32::try_from(Ranges::LARGEST).unwrap();
        assert_eq!(Ranges::new(Vec::new()), None);
        assert_eq!(Ranges::new(vec![range(0, 0)]), None);
        assert!(Ranges::new(vec![range(0, large)]).is_some());
        assert_eq!(Ranges::new(vec![range(0, large), range(0, 1)]), None);
        assert_eq!(Ranges::new(vec![range(0, 1); Ranges::MOST + 1]), None);
    }
}
