//! Checks which settings of a listener may be combined: nothing may send passwords in the clear or break BITS. The
//! server checks the contents of the files that the settings name when it sets up TLS.

use crate::access::AuthenticationMethod;
use crate::config::listener::{ClientCertificates, Listener};
use crate::config::settings::Config;

/// Checks a listener; the error says what is wrong and what would be right.
pub(super) fn check(listener: &Listener, config: &Config) -> Result<(), String> {
    if listener.certificate.is_some() != listener.key.is_some() {
        return Err("certificate and key must be set together".to_owned());
    }
    if listener.ways_in.is_empty() {
        return Err("ways_in: list at least one authentication method, or leave it out".to_owned());
    }
    check_client_certificates(listener)?;
    check_ways_in(listener, config)
}

fn check_client_certificates(listener: &Listener) -> Result<(), String> {
    let refuse = |what: &str| Err(what.to_owned());
    if listener.client_certificates == ClientCertificates::Required {
        if listener.certificate.is_none() {
            return refuse("client_certificates = \"required\" needs TLS: set certificate and key");
        }
        if listener.client_ca.is_none() {
            return refuse(
                "client_certificates = \"required\" needs client_ca, the file of the authorities",
            );
        }
        return Ok(());
    }
    if listener.client_ca.is_some() {
        return refuse("client_ca has no effect without client_certificates = \"required\"");
    }
    if !listener.crl.is_empty() {
        return refuse(
            "crl has no effect without client_certificates = \"required\" and client_ca",
        );
    }
    Ok(())
}

fn check_ways_in(listener: &Listener, config: &Config) -> Result<(), String> {
    let offers = |way| listener.ways_in.contains(&way);
    if offers(AuthenticationMethod::Basic)
        && listener.certificate.is_none()
        && !listener.address.ip().to_canonical().is_loopback()
        && !listener.allow_plain_passwords
    {
        return Err(format!(
            "{} would accept passwords without TLS: set certificate and key, remove basic from ways_in, or set \
             allow_plain_passwords = true",
            listener.address
        ));
    }
    let required = listener.client_certificates == ClientCertificates::Required;
    if offers(AuthenticationMethod::Certificate)
        && !required
        && !config.certificates_come_by_proxy()
    {
        return Err("ways_in: certificate needs client_certificates = \"required\" and client_ca"
            .to_owned());
    }
    Ok(())
}

impl Config {
    /// Reports whether a proxy may have done the TLS handshake and pass the certificate on in a header.
    fn certificates_come_by_proxy(&self) -> bool {
        !self.server.trusted_proxies.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use crate::config::settings::Config;

    fn checked(listener: &str) -> Result<(), String> {
        let config: Config = toml::from_str(&format!("[[listener]]\n{listener}")).unwrap();
        super::check(&config.listener[0], &config)
    }

    #[test]
    fn what_leaks_passwords_or_breaks_bits_is_refused() {
        let tls = "certificate = 'c'\nkey = 'k'\n";
        let required = format!("{tls}client_certificates = 'required'\n");
        let far = "address = '0.0.0.0:1'\n";
        for (listener, word) in [
            (far.to_owned(), "passwords"),
            ("address = '[::]:1'".to_owned(), "passwords"),
            (format!("{far}certificate = 'c'"), "together"),
            (format!("{far}{tls}ways_in = []"), "ways_in"),
            (format!("{far}client_certificates = 'required'\nclient_ca = 'a'"), "TLS"),
            (format!("{far}{required}"), "client_ca"),
            (format!("{far}{tls}client_ca = 'a'"), "client_ca"),
            (format!("{far}{tls}crl = ['a']"), "crl"),
            (format!("{far}{tls}ways_in = ['certificate']"), "required"),
        ] {
            let refused = checked(&listener).unwrap_err();
            assert!(refused.contains(word), "{listener}: {refused}");
        }
    }

    #[test]
    fn what_is_safe_is_taken() {
        let tls = "certificate = 'c'\nkey = 'k'\n";
        for listener in [
            "address = '127.0.0.1:1'".to_owned(),
            "address = '[::ffff:127.0.0.1]:1'".to_owned(),
            "address = '0.0.0.0:1'\nways_in = ['bearer', 'negotiate']".to_owned(),
            "address = '0.0.0.0:1'\nallow_plain_passwords = true".to_owned(),
            format!("address = '0.0.0.0:1'\n{tls}"),
            format!(
                "address = '0.0.0.0:1'\n{tls}client_certificates = 'required'\nclient_ca = 'a'\ncrl = ['b']\n\
                 ways_in = ['certificate', 'basic']"
            ),
        ] {
            checked(&listener).unwrap();
        }
    }
}
