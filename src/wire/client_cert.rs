//! The client's certificate in the `Client-Cert` header, as a proxy passes it on.
//!
//! Two forms are read, which cannot be confused. One is RFC 9440's byte sequence `:base64:` of the DER
//! (`:%[ssl_c_der,base64]:` in `HAProxy`). The other is nginx's `$ssl_client_escaped_cert`, URL-encoded PEM, since
//! nginx cannot write the first form by itself. `Client-Cert-Chain` is ignored: the proxy has verified the chain. The
//! `access` module decides whose header is trusted.

use actix_web::http::header::{HeaderMap, HeaderName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use crate::model::certificate::der_of_pem;

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// The header is not a certificate in either form, or occurs several times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Client-Cert is not a certificate")]
pub struct Malformed;

/// Returns the DER of the certificate, or none if the header is missing or empty.
pub fn read(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Malformed> {
    let mut lines = headers.get_all(&CLIENT_CERT);
    let Some(line) = lines.next() else { return Ok(None) };
    // One line may be the client's own beside the proxy's, and they cannot be told apart.
    if lines.next().is_some() {
        return Err(Malformed);
    }
    let text = line.to_str().map_err(|_| Malformed)?.trim();
    if text.is_empty() || text == "::" {
        return Ok(None);
    }
    if let Some(rest) = text.strip_prefix(':') {
        let encoded = rest.strip_suffix(':').ok_or(Malformed)?;
        return STANDARD.decode(encoded).map(Some).map_err(|_| Malformed);
    }
    if text.starts_with("-----BEGIN") {
        let pem = percent_decode_str(text).decode_utf8().map_err(|_| Malformed)?;
        return der_of_pem(&pem).map(Some).map_err(|_| Malformed);
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn of(lines: &[&str]) -> Result<Option<Vec<u8>>, Malformed> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CLIENT_CERT, HeaderValue::from_str(line).unwrap());
        }
        read(&headers)
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(of(&[":AQID:"]), Ok(Some(vec![1, 2, 3])));
        let escaped = "-----BEGIN%20CERTIFICATE-----%0AAQI%2B%0A-----END%20CERTIFICATE-----%0A";
        assert_eq!(of(&[escaped]), Ok(Some(vec![1, 2, 0x3e])));
    }

    #[test]
    fn no_certificate_is_none() {
        for lines in [&[][..], &[""], &["::"]] {
            assert_eq!(of(lines), Ok(None), "{lines:?}");
        }
    }

    #[test]
    fn everything_else_is_malformed() {
        for lines in [
            &["AQID"][..],
            &[":AQID"],
            &[":"],
            &[":A*:"],
            &[":AQID:, :AQID:"],
            &[":AQID:", ":AQID:"],
            &["", ":AQID:"],
            &["-----BEGIN%20CERTIFICATE-----%0AAQID"],
            &["-----BEGIN%20CERTIFICATE-----%0A%FF-----END%20CERTIFICATE-----%0A"],
            &["Hash=x;Cert=\"y\""],
        ] {
            assert_eq!(of(lines), Err(Malformed), "{lines:?}");
        }
    }
}
