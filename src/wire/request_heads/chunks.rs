//! Finds the end of a chunked body (RFC 9112 section 7.1).
//!
//! Only the end is determined; the parser reads the content of the chunks.

/// The largest number of digits of a chunk's size (`u64`).
const MOST_DIGITS: u32 = 16;

#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    is_last: bool,
}

#[derive(Debug, Clone, Copy)]
enum At {
    /// In the line with a chunk's size: the size so far, its number of digits, and whether the digits are complete.
    Size(u64, u32, bool),
    /// In a chunk, with this many bytes left, including the line end after it.
    Data(u64),
    /// In a line of the trailer, which has this many bytes so far.
    Trailer(u32),
    End,
    Irregular,
}

/// The way in which a body has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The body of a request after which others may come.
    NotLast,
    Last,
    Irregular,
}

impl Chunks {
    pub(super) fn before(is_last: bool) -> Self {
        Self { at: At::Size(0, 0, false), is_last }
    }

    /// Marks the body as that of the connection's last request.
    pub(super) fn mark_last(&mut self) {
        self.is_last = true;
    }

    pub(super) fn end(&self) -> Option<End> {
        match self.at {
            At::End if self.is_last => Some(End::Last),
            At::End => Some(End::NotLast),
            At::Irregular => Some(End::Irregular),
            _ => None,
        }
    }

    /// Returns how many bytes of `input` belong to the body.
    pub(super) fn take(&mut self, input: &[u8]) -> usize {
        let mut taken = 0;
        while taken < input.len() && self.end().is_none() {
            taken += self.step(&input[taken..]);
        }
        taken
    }

    fn step(&mut self, input: &[u8]) -> usize {
        let byte = input[0];
        match self.at {
            At::Data(left) => {
                let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let left = left - taken as u64;
                self.at = if left == 0 { At::Size(0, 0, false) } else { At::Data(left) };
                taken
            }
            At::Size(size, digits, over) => {
                self.at = in_size(byte, size, digits, over);
                1
            }
            At::Trailer(length) => {
                self.at = match byte {
                    b'\n' if length == 0 => At::End,
                    b'\n' => At::Trailer(0),
                    b'\r' => At::Trailer(length),
                    _ => At::Trailer(length.saturating_add(1)),
                };
                1
            }
            At::End | At::Irregular => 0,
        }
    }
}

fn in_size(byte: u8, size: u64, digits: u32, over: bool) -> At {
    match (byte, char::from(byte).to_digit(16)) {
        (_, Some(digit)) if !over && digits < MOST_DIGITS => {
            At::Size((size << 4) | u64::from(digit), digits + 1, false)
        }
        (b'\n', _) if digits == 0 => At::Irregular,
        (b'\n', _) if size == 0 => At::Trailer(0),
        // Including the line end after the chunk.
        (b'\n', _) => size.checked_add(2).map_or(At::Irregular, At::Data),
        (b';' | b'\r' | b' ' | b'\t', _) if digits > 0 => At::Size(size, digits, true),
        _ if over => At::Size(size, digits, true),
        _ => At::Irregular,
    }
}
