//! The bytes that arrive on a connection, on their way to the framework's parser. They pass through [`RequestHeads`],
//! which takes out `Expect: 100-continue`: `100 Continue` is sent only once a handler asks for the body.

use tokio::io::ReadBuf;

use crate::api::conventions::expectation::Expectation;
use crate::wire::request_heads::RequestHeads;

#[derive(Default)]
pub(super) struct Incoming {
    heads: RequestHeads,
    /// Bytes that passed through and that the parser has not read yet.
    ready: Vec<u8>,
    given: usize,
}

impl Incoming {
    /// Gives the parser the bytes that wait for it; returns false if there are none.
    pub(super) fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let waiting = &self.ready[self.given..];
        if waiting.is_empty() {
            return false;
        }
        let count = waiting.len().min(buffer.remaining());
        buffer.put_slice(&waiting[..count]);
        self.given += count;
        if self.given == self.ready.len() {
            self.ready.clear();
            self.given = 0;
        }
        true
    }

    /// Takes the bytes that were read after position `before`; returns false if none of them is for the parser yet.
    pub(super) fn take(
        &mut self,
        buffer: &mut ReadBuf<'_>,
        before: usize,
        expectation: &Expectation,
    ) -> bool {
        let came = &buffer.filled()[before..];
        if came.is_empty() {
            self.heads.end(&mut self.ready);
            self.give(buffer);
            return true;
        }
        if self.heads.passes(came) {
            return true;
        }
        self.heads.take(came, &mut self.ready);
        if self.heads.take_expectation() {
            expectation.begin();
        }
        buffer.set_filled(before);
        self.give(buffer)
    }

    /// Makes the request that is being answered the last one: nothing that comes after it is answered.
    pub(super) fn answer_is_last(&mut self) {
        self.heads.mark_request_last();
    }

    /// Reports whether the parser may have refused a head, given that the application has seen `begun` requests.
    pub(super) fn may_be_refused(&self, begun: u64) -> bool {
        self.heads.may_be_refused(begun)
    }

    /// Returns the method and target of the last request, as far as they have arrived.
    pub(super) fn request_line(&self) -> (String, String) {
        self.heads.request_line()
    }
}
