//! The packets that clients send, read from the headers alone.
//!
//! Values are accepted in any case and spacing, because the sources disagree. Unknown headers are ignored. Known
//! headers with impossible values are refused. So are two values in place of one, of which a proxy in front may have
//! used the other.

use actix_web::http::header::{self, HeaderMap, HeaderName};
use uuid::Uuid;

use super::{FragmentRange, PACKET_TYPE, SESSION_ID, SUPPORTED_PROTOCOLS, UPLOAD_PROTOCOL};

/// The longest value of a header, in bytes (Windows answers 400 to longer ones).
const LONGEST_VALUE: usize = 4096;

/// The longest valid session name, in characters.
const LONGEST_SESSION_ID: usize = 100;

/// The largest number of protocols that a client may offer.
const MOST_PROTOCOLS: usize = 100;

/// A client's packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Asks only for an answer: it opens and authenticates a connection before large bodies.
    Ping,
    /// Asks for a session, in the one protocol that both sides speak.
    CreateSession,
    Fragment {
        session: SessionId,
        range: FragmentRange,
    },
    CloseSession {
        session: SessionId,
    },
    CancelSession {
        session: SessionId,
    },
}

/// The name of a session as the client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionId {
    /// A GUID, which is the form of this server's session names.
    Guid(Uuid),
    /// Another valid text, from another server.
    Foreign,
}

/// The reasons for which a packet is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the value of a header is longer than {LONGEST_VALUE} bytes")]
    LongHeader,
    #[error("a header occurs twice")]
    Repeated,
    #[error("a header is not plain text")]
    NoText,
    #[error("BITS-Packet-Type is missing or unknown")]
    PacketType,
    #[error("BITS-Session-Id is missing or is not the name of a session")]
    SessionId,
    #[error("BITS-Supported-Protocols does not name {UPLOAD_PROTOCOL}")]
    NoCommonProtocol,
    #[error("Content-Range is missing or malformed")]
    ContentRange,
    #[error("a fragment must not have a content coding")]
    ContentCoding,
    #[error("Content-Length is missing")]
    NoLength,
    #[error("Content-Length does not match the bytes of the packet")]
    WrongLength,
}

impl Packet {
    /// Reads the headers of a request. [`Self::check_length`] checks the length of the body separately, because rights
    /// are checked before it (section 3.2.5).
    pub fn read(headers: &HeaderMap) -> Result<Self, Malformed> {
        check_values(headers)?;
        let kind = single(headers, &PACKET_TYPE)?.ok_or(Malformed::PacketType)?;
        match kind.to_ascii_lowercase().as_str() {
            "ping" => Ok(Self::Ping),
            "create-session" => {
                if offers_upload(headers)? {
                    Ok(Self::CreateSession)
                } else {
                    Err(Malformed::NoCommonProtocol)
                }
            }
            "fragment" => {
                check_coding(headers)?;
                let session = SessionId::read(headers)?;
                let field = single(headers, &header::CONTENT_RANGE)?;
                let range = field.and_then(FragmentRange::parse).ok_or(Malformed::ContentRange)?;
                Ok(Self::Fragment { session, range })
            }
            "close-session" => Ok(Self::CloseSession { session: SessionId::read(headers)? }),
            "cancel-session" => Ok(Self::CancelSession { session: SessionId::read(headers)? }),
            _ => Err(Malformed::PacketType),
        }
    }

    /// Checks `Content-Length`, which every packet has. Without it the framework takes the body for empty, so nothing
    /// else would notice.
    pub fn check_length(&self, headers: &HeaderMap) -> Result<(), Malformed> {
        let length = single(headers, &header::CONTENT_LENGTH)?.ok_or(Malformed::NoLength)?;
        let length: u64 = length.parse().map_err(|_| Malformed::WrongLength)?;
        let expected = match self {
            Self::Fragment { range, .. } => range.length,
            _ => 0,
        };
        if length == expected { Ok(()) } else { Err(Malformed::WrongLength) }
    }
}

impl SessionId {
    fn read(headers: &HeaderMap) -> Result<Self, Malformed> {
        let text = single(headers, &SESSION_ID)?.ok_or(Malformed::SessionId)?;
        if text.is_empty() || text.len() > LONGEST_SESSION_ID {
            return Err(Malformed::SessionId);
        }
        let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        Ok(Uuid::try_parse(bare).map_or(Self::Foreign, Self::Guid))
    }
}

/// Checks the lengths of all values except credentials: a Kerberos ticket may be longer, and does not belong to this
/// protocol.
fn check_values(headers: &HeaderMap) -> Result<(), Malformed> {
    let own =
        |name: &HeaderName| *name != header::AUTHORIZATION && *name != header::PROXY_AUTHORIZATION;
    let longest = headers.iter().filter(|(name, _)| own(name)).map(|(_, value)| value.len()).max();
    if longest.unwrap_or(0) > LONGEST_VALUE { Err(Malformed::LongHeader) } else { Ok(()) }
}

/// Returns the value of a header that may occur at most once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Malformed> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Malformed::Repeated);
    }
    value.to_str().map(|text| Some(text.trim())).map_err(|_| Malformed::NoText)
}

/// Reports whether the client offers this protocol. Protocols are separated by spaces or commas, and may be on several
/// lines. Only the first hundred are checked.
fn offers_upload(headers: &HeaderMap) -> Result<bool, Malformed> {
    let mut offered = 0;
    for line in headers.get_all(&SUPPORTED_PROTOCOLS) {
        let line = line.to_str().map_err(|_| Malformed::NoText)?;
        for protocol in line.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
            offered += 1;
            if offered > MOST_PROTOCOLS {
                return Ok(false);
            }
            if protocol.eq_ignore_ascii_case(UPLOAD_PROTOCOL) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn check_coding(headers: &HeaderMap) -> Result<(), Malformed> {
    match single(headers, &header::CONTENT_ENCODING)? {
        Some(coding) if !coding.eq_ignore_ascii_case("identity") => Err(Malformed::ContentCoding),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const GUID: &str = "{A0FF5911-4144-45B3-BF27-27AFC8EC8A67}";

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.to_ascii_lowercase().parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn read(fields: &[(&str, &str)]) -> Result<Packet, Malformed> {
        Packet::read(&headers(fields))
    }

    fn session() -> SessionId {
        SessionId::Guid(Uuid::from_u128(0xA0FF_5911_4144_45B3_BF27_27AF_C8EC_8A67))
    }

    #[test]
    fn packets_are_known_in_any_case() {
        for kind in ["Ping", "PING", "ping", " pInG "] {
            assert_eq!(read(&[("BITS-Packet-Type", kind)]), Ok(Packet::Ping), "{kind}");
        }
        for id in [GUID, &GUID.to_lowercase(), GUID.trim_matches(['{', '}'])] {
            let close = [("bits-packet-type", "CLOSE-session"), ("BITS-SESSION-ID", id)];
            assert_eq!(read(&close), Ok(Packet::CloseSession { session: session() }), "{id}");
            let cancel = [("BITS-Packet-Type", "cancel-SESSION"), ("BITS-Session-Id", id)];
            assert_eq!(read(&cancel), Ok(Packet::CancelSession { session: session() }), "{id}");
        }
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for kind in ["", "Ack", "Create", "Fragments", "Close Session"] {
            assert_eq!(read(&[("BITS-Packet-Type", kind)]), Err(Malformed::PacketType), "{kind}");
        }
        assert_eq!(read(&[]), Err(Malformed::PacketType));
        // A misprint in the protocol's own text.
        assert_eq!(read(&[("BITS-Package-Type", "Ping")]), Err(Malformed::PacketType));
        let twice = [("BITS-Packet-Type", "Ping"), ("BITS-Packet-Type", "Close-Session")];
        assert_eq!(read(&twice), Err(Malformed::Repeated));
    }

    #[test]
    fn the_protocol_is_found_among_a_hundred_in_any_case() {
        let create = |protocols: &str| {
            read(&[("BITS-Packet-Type", "Create-Session"), ("BITS-Supported-Protocols", protocols)])
        };
        let upper = UPLOAD_PROTOCOL.to_ascii_uppercase();
        let other = "{00000000-0000-0000-0000-000000000001}";
        for protocols in [
            UPLOAD_PROTOCOL.to_owned(),
            upper.clone(),
            format!("{other} {UPLOAD_PROTOCOL}"),
            format!("{other},{UPLOAD_PROTOCOL}"),
            format!("{UPLOAD_PROTOCOL}, {other}"),
            format!("{}{upper}", format!("{other} ").repeat(99)),
        ] {
            assert_eq!(create(&protocols), Ok(Packet::CreateSession), "{protocols}");
        }
        for protocols in ["", ",", other, UPLOAD_PROTOCOL.trim_matches('{'), "*"] {
            assert_eq!(create(protocols), Err(Malformed::NoCommonProtocol), "{protocols}");
        }
        assert_eq!(
            read(&[("BITS-Packet-Type", "Create-Session")]),
            Err(Malformed::NoCommonProtocol)
        );
        let on_two_lines = [
            ("BITS-Packet-Type", "Create-Session"),
            ("BITS-Supported-Protocols", other),
            ("BITS-Supported-Protocols", UPLOAD_PROTOCOL),
        ];
        assert_eq!(read(&on_two_lines), Ok(Packet::CreateSession));
    }

    #[test]
    fn a_fragment_needs_its_session_and_its_range() {
        let fragment = |fields: &[(&str, &str)]| {
            let mut all = vec![("BITS-Packet-Type", "Fragment")];
            all.extend_from_slice(fields);
            read(&all)
        };
        let range = ("Content-Range", "Bytes 0-4891/4892");
        let id = ("BITS-Session-Id", GUID);
        let first = FragmentRange { first: 0, length: 4892, total: 4892 };
        assert_eq!(
            fragment(&[id, range, ("Content-Name", "x.ckm"), ("X-Unknown", "y")]),
            Ok(Packet::Fragment { session: session(), range: first })
        );
        assert_eq!(fragment(&[range]), Err(Malformed::SessionId));
        assert_eq!(fragment(&[id]), Err(Malformed::ContentRange));
        assert_eq!(fragment(&[id, ("Content-Range", "bytes 0-1/*")]), Err(Malformed::ContentRange));
        assert!(fragment(&[id, range, ("Content-Encoding", "Identity")]).is_ok());
        let coded = fragment(&[id, range, ("Content-Encoding", "gzip")]);
        assert_eq!(coded, Err(Malformed::ContentCoding));
    }

    #[test]
    fn any_legal_text_may_name_a_session_and_too_long_a_one_does_not() {
        let close =
            |id: &str| read(&[("BITS-Packet-Type", "Close-Session"), ("BITS-Session-Id", id)]);
        for id in ["session 7", "{not-a-guid}", &"x".repeat(100)] {
            assert_eq!(close(id), Ok(Packet::CloseSession { session: SessionId::Foreign }), "{id}");
        }
        for id in ["", &"x".repeat(101)] {
            assert_eq!(close(id), Err(Malformed::SessionId), "{id}");
        }
    }

    #[test]
    fn values_past_4_kib_are_refused_and_tickets_are_not() {
        let long = "x".repeat(4097);
        let ping = ("BITS-Packet-Type", "Ping");
        assert_eq!(read(&[ping, ("X-Whatever", &long)]), Err(Malformed::LongHeader));
        assert_eq!(read(&[ping, ("X-Whatever", &long[1..])]), Ok(Packet::Ping));
        assert_eq!(read(&[ping, ("Authorization", &long)]), Ok(Packet::Ping));
    }

    #[test]
    fn the_length_is_that_of_the_packet_s_bytes() {
        let range = FragmentRange { first: 10, length: 5, total: 100 };
        let fragment = Packet::Fragment { session: session(), range };
        let check =
            |packet: &Packet, length| packet.check_length(&headers(&[("Content-Length", length)]));
        assert_eq!(check(&fragment, "5"), Ok(()));
        assert_eq!(check(&Packet::Ping, "0"), Ok(()));
        for (packet, length) in
            [(&fragment, "4"), (&fragment, "6"), (&fragment, "0"), (&Packet::Ping, "1")]
        {
            assert_eq!(check(packet, length), Err(Malformed::WrongLength), "{length}");
        }
        assert_eq!(Packet::Ping.check_length(&headers(&[])), Err(Malformed::NoLength));
    }
}
