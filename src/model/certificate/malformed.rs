//! The reasons why bytes or a text are not a valid certificate.

/// The size limit in bytes. No certificate in use is larger.
pub(super) const LARGEST: usize = 64 * 1024;

/// The reason why bytes or a text are not a valid certificate. The message says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCertificate {
    #[error("there is no certificate in it: PEM text with one block BEGIN CERTIFICATE is expected")]
    NotThere,
    #[error("it is not valid PEM text: a block does not end, or is not base64")]
    BrokenPem,
    #[error("it contains several certificates: give only the client's own, without its chain")]
    Several,
    #[error(
        "it contains something other than a certificate, such as a key: a private key must stay with its owner"
    )]
    SomethingElse,
    #[error("a certificate may have at most {LARGEST} bytes")]
    TooLarge,
    #[error("the certificate is malformed: it is not X.509 in DER, or bytes follow it")]
    Structure,
    #[error("a name in the certificate is malformed: its text does not match its type")]
    Text,
}
