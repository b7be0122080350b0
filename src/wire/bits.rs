//! The BITS upload protocol ("[MC-BUP] BITS Upload Protocol"). It has one verb, `BITS_POST`. Everything is in the
//! headers; only a Fragment has bytes in its body.
//!
//! [`packet`] reads what clients send, [`ack`] writes the answers, and [`Reaction`] is what a refusal makes clients do.
//! Other modules handle sessions, offsets and the effects of a packet.

pub mod ack;
mod content_range;
pub mod packet;
mod reaction;

pub use ack::{Ack, Context, HResult};
pub use content_range::FragmentRange;
pub use packet::{Malformed, Packet, SessionId};
pub use reaction::Reaction;

use actix_web::http::header::HeaderName;

/// The verb of every packet.
pub const METHOD: &str = "BITS_POST";

/// The only protocol there is, in the form in which it is offered and chosen.
pub const UPLOAD_PROTOCOL: &str = "{7df0354d-249b-430f-820d-3d2a9bef4931}";

/// Header names; section 2.2 of the protocol.
pub const PACKET_TYPE: HeaderName = HeaderName::from_static("bits-packet-type");
pub const SESSION_ID: HeaderName = HeaderName::from_static("bits-session-id");
pub const SUPPORTED_PROTOCOLS: HeaderName = HeaderName::from_static("bits-supported-protocols");
pub const PROTOCOL: HeaderName = HeaderName::from_static("bits-protocol");
pub const RECEIVED_CONTENT_RANGE: HeaderName =
    HeaderName::from_static("bits-received-content-range");
/// The header of the error code in MC-BUP and in Windows Server 2003.
pub const ERROR: HeaderName = HeaderName::from_static("bits-error");
/// The header of the error code in the documentation of Windows. Clients look for either, so both are sent.
pub const ERROR_CODE: HeaderName = HeaderName::from_static("bits-error-code");
pub const ERROR_CONTEXT: HeaderName = HeaderName::from_static("bits-error-context");
