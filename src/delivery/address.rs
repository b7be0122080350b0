//! The addresses that webhooks may have. A depot can reach what the people who name its webhooks cannot: its own
//! machine, and the metadata of the cloud that it runs in.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::networks::Networks;

/// The way in which a receiver is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Https,
    /// Only inside `webhooks.allow`.
    Http,
}

/// Reports whether a webhook may be called at an address.
pub fn may_be_called(address: IpAddr, scheme: Scheme, allow: &Networks) -> bool {
    let forms = forms_of(address);
    if forms.iter().any(|form| allow.contain(*form)) {
        return true;
    }
    scheme == Scheme::Https && !forms.iter().any(|form| is_close(*form))
}

/// Returns an address, and the IPv4 addresses that its packets may end up at.
fn forms_of(address: IpAddr) -> Vec<IpAddr> {
    let mut forms = vec![address];
    if let IpAddr::V6(v6) = address {
        forms.extend(embedded(v6).into_iter().map(IpAddr::V4));
    }
    forms
}

/// Returns the IPv4 addresses within an IPv6 address: mapped and compatible ones, NAT64 (RFC 6052, also with a prefix of
/// the network's own from RFC 8215), 6to4 and Teredo.
fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let words = address.segments();
    let of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let last = of(words[6], words[7]);
    match words {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => vec![last],
        // Anywhere behind the prefix: its length is the network's choice. The byte in the middle is not used.
        [0x64, 0xff9b, 1, high, middle, low, ..] => {
            vec![last, of(high, (middle & 0xff) << 8 | low >> 8), of(1, high)]
        }
        [0x2002, high, low, ..] => vec![of(high, low)],
        [0x2001, 0, high, low, ..] => vec![of(high, low), of(!words[6], !words[7])],
        _ => Vec::new(),
    }
}

/// Reports whether an address is this machine's or a neighbour's on its link, or no address of one machine.
fn is_close(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(address: &str, scheme: Scheme, allow: &[&str]) -> bool {
        let allow = serde_json::from_value(serde_json::json!(allow)).unwrap();
        may_be_called(address.parse().unwrap(), scheme, &allow)
    }

    #[test]
    fn this_machine_and_its_link_are_refused_in_every_form() {
        for address in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::7f00:1",
            "2002:7f00:1::",
            "2001::ffff:ffff:ffff:80ff:fffe",
        ] {
            assert!(!may(address, Scheme::Https, &[]), "{address}");
        }
        for address in ["192.0.2.1", "10.1.2.3", "2001:db8::1", "64:ff9b::c000:201", "fd00::1"] {
            assert!(may(address, Scheme::Https, &[]), "{address}");
            assert!(!may(address, Scheme::Http, &[]), "{address}");
        }
    }

    #[test]
    fn what_the_settings_allow_may_be_called_without_tls_too() {
        assert!(may("127.0.0.1", Scheme::Http, &["127.0.0.0/8"]));
        assert!(may("::ffff:127.0.0.1", Scheme::Http, &["127.0.0.1"]));
        assert!(may("10.1.2.3", Scheme::Http, &["10.0.0.0/8"]));
        assert!(!may("127.0.0.1", Scheme::Https, &["10.0.0.0/8", "::1"]));
        assert!(may("::1", Scheme::Https, &["::1"]));
    }
}
