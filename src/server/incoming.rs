//! What comes in on a connection, on its way to the framework's parser: through [`RequestHeads`], and with the `100 Continue`
//! that a client waits for sent only once a handler asks for its body.

use tokio::io::ReadBuf;

use crate::api::conventions::expectation::Expectation;
use crate::wire::request_heads::RequestHeads;

#[derive(Default)]
pub(super) struct Incoming {
    heads: RequestHeads,
    /// What went through and the parser has not read yet.
    ready: Vec<u8>,
    given: usize,
}

impl Incoming {
    /// Gives the parser what waits for it; false where nothing does.
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

    /// Takes what was read behind `before`; false where nothing of it is for the parser yet.
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

    /// Nothing is answered behind the request that is being answered.
    pub(super) fn answer_is_last(&mut self) {
        self.heads.request_is_last();
    }

    /// Whether the parser may have refused a head, where the application has seen `begun` requests.
    pub(super) fn may_be_refused(&self, begun: u64) -> bool {
        self.heads.may_be_refused(begun)
    }

    /// The method and target of the last request, as far as they came.
    pub(super) fn request_line(&self) -> (String, String) {
        self.heads.request_line()
    }
}
