//! The reasons why bytes or a text are not a valid certificate.

/// The size limit in bytes. No certificate in use is larger.
pub(super) const LARGEST: usize = 64 * 1024;

/// The reason why bytes or a text are not a valid certificate. The message says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedCertificate {
    #[error("there is no certificate in it: PEM text with one block BEGIN CERTIFICATE is expected")]
    NotThere,
    #[error("it is no PEM text: a block does not end, or is not base64")]
    BrokenPem,
    #[error(
        "there are several certificates in it: only the client's own is meant, without its chain"
    )]
    Several,
    #[error(
        "there is something else than a certificate in it, such as a key: a key is to stay with its owner"
    )]
    SomethingElse,
    #[error("a certificate has {LARGEST} bytes at the most")]
    TooLarge,
    #[error("the certificate is malformed: its DER is not that of X.509, or bytes follow it")]
    Structure,
    #[error("a name in the certificate is malformed: its text is not what its type says")]
    Text,
}
