//! The information that proxies pass on about the client: `Forwarded` (RFC 7239), or `X-Forwarded-For` with
//! `X-Forwarded-Proto`, which most proxies write.
//!
//! This module turns text into hops; the `access` module decides which proxies to trust. The hop nearest to this server
//! comes first, and a malformed header line ends the list there. So text that a client wrote in front of a proxy's can
//! hide the client, but never make it pass for another one.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{self, HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// One hop of the request, as reported by the proxy that received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The peer that sent the request to that proxy; none if the proxy does not say, or says `unknown` or `_hidden`.
    pub from: Option<IpAddr>,
    /// Set if the request came over TLS; none if the proxy does not say.
    pub by_tls: Option<bool>,
}

const UNTOLD: Hop = Hop { from: None, by_tls: None };

/// Returns the hops of `Forwarded`, nearest first, or none without the header.
pub fn forwarded(headers: &HeaderMap) -> Option<Vec<Hop>> {
    hops(headers, &header::FORWARDED, read_forwarded)
}

/// Returns the hops of `X-Forwarded-For`, nearest first, or none without the header.
pub fn x_forwarded(headers: &HeaderMap) -> Option<Vec<Hop>> {
    hops(headers, &X_FORWARDED_FOR, |line| {
        let parts = line.split(',').map(str::trim).filter(|part| !part.is_empty());
        Some(parts.map(|part| Hop { from: node(part), by_tls: None }).collect())
    })
}

/// Returns what the nearest proxy says about TLS, if it writes the `X-` headers.
pub fn x_forwarded_tls(headers: &HeaderMap) -> Option<bool> {
    let line = headers.get_all(&X_FORWARDED_PROTO).last()?.to_str().ok()?;
    is_tls(line.rsplit(',').next()?.trim())
}

fn hops(
    headers: &HeaderMap,
    name: &HeaderName,
    read: impl Fn(&str) -> Option<Vec<Hop>>,
) -> Option<Vec<Hop>> {
    let lines: Vec<_> = headers.get_all(name).collect();
    if lines.is_empty() {
        return None;
    }
    let mut hops = Vec::new();
    for line in lines.into_iter().rev() {
        let Some(read) = line.to_str().ok().and_then(&read) else {
            hops.push(UNTOLD);
            break;
        };
        hops.extend(read.into_iter().rev());
    }
    Some(hops)
}

/// Reads one line, leftmost hop first. Returns none if any part of it is malformed.
fn read_forwarded(line: &str) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(hops);
        }
        let (hop, behind) = read_element(rest)?;
        hops.push(hop);
        rest = behind;
    }
}

/// Reads `for=192.0.2.43;proto=https`. The rest begins with a comma or is empty.
fn read_element(text: &str) -> Option<(Hop, &str)> {
    let (mut hop, mut rest) = (UNTOLD, text);
    let mut seen: Vec<&str> = Vec::new();
    loop {
        let (name, behind) = rest.split_once('=')?;
        if !is_token(name) || seen.iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) {
            return None;
        }
        seen.push(name);
        let (value, behind) = read_value(behind)?;
        if name.eq_ignore_ascii_case("for") {
            hop.from = node(&value);
        } else if name.eq_ignore_ascii_case("proto") {
            hop.by_tls = is_tls(&value);
        }
        rest = behind.trim_start_matches([' ', '\t']);
        match rest.strip_prefix(';') {
            Some(next) => rest = next.trim_start_matches([' ', '\t']),
            None if rest.is_empty() || rest.starts_with(',') => return Some((hop, rest)),
            None => return None,
        }
    }
}

/// Reads a token or a quoted string.
fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        let (token, rest) = text.split_at(end);
        return is_token(token).then(|| (token.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            c => value.push(c),
        }
    }
    None
}

fn is_token(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

fn is_tls(scheme: &str) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" => Some(true),
        "http" => Some(false),
        _ => None,
    }
}

/// Reads an address with or without port and brackets. Returns none for `unknown`, `_hidden` and anything else that is
/// not an address. The port may be obfuscated too.
fn node(text: &str) -> Option<IpAddr> {
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        let port_is_sound = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_is_sound.then(|| address.parse().ok().map(IpAddr::V6)).flatten();
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let (address, port) = text.rsplit_once(':')?;
    is_port(port).then(|| address.parse().ok().map(IpAddr::V4)).flatten()
}

fn is_port(text: &str) -> bool {
    let digits = (1..=5).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
    digits || text.strip_prefix('_').is_some_and(is_token)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(name: &str, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.parse().unwrap(), HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    fn addresses(hops: Option<Vec<Hop>>) -> Vec<Option<String>> {
        hops.unwrap().iter().map(|hop| hop.from.map(|address| address.to_string())).collect()
    }

    #[test]
    fn each_hop_is_read_the_nearest_first() {
        let lines = [
            r#"for=192.0.2.43, For="[2001:db8:cafe::17]:4711";proto=https;by=203.0.113.43"#,
            "for=198.51.100.17;proto=http",
        ];
        let hops = forwarded(&headers("forwarded", &lines)).unwrap();
        assert_eq!(
            hops.iter().map(|hop| hop.by_tls).collect::<Vec<_>>(),
            [Some(false), Some(true), None]
        );
        let expected = ["198.51.100.17", "2001:db8:cafe::17", "192.0.2.43"];
        assert_eq!(addresses(Some(hops)), expected.map(|text| Some(text.to_owned())));
    }

    #[test]
    fn hidden_and_unknown_nodes_have_no_address() {
        for value in ["unknown", "_SEVKISEK", "\"_hidden:_port\"", "\"\"", "\"[::1\"", "\"[::1]x\""]
        {
            let hops = forwarded(&headers("forwarded", &[&format!("for={value}")]));
            assert_eq!(addresses(hops), [None], "{value}");
        }
        assert_eq!(addresses(forwarded(&headers("forwarded", &["proto=https"]))), [None]);
    }

    #[test]
    fn ports_are_left_out() {
        for (text, address) in [
            ("192.0.2.1:47011", "192.0.2.1"),
            ("192.0.2.1:_gazonk", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(node(text), Some(address.parse().unwrap()), "{text}");
        }
        for text in ["", "192.0.2.1:x", "192.0.2.256", "example.com", "192.0.2.1:123456"] {
            assert_eq!(node(text), None, "{text}");
        }
    }

    #[test]
    fn a_malformed_line_ends_the_walk_and_forges_nothing() {
        // An opening quotation mark from the client changes how the proxy's appended text is read.
        for line in [
            r#"for=6.6.6.6;x=", for=192.0.2.1"#,
            r#"for=6.6.6.6;x=", for="[2001:db8::1]:1""#,
            "for=6.6.6.6 for=192.0.2.1",
            "for=6.6.6.6;for=192.0.2.1",
            "6.6.6.6",
            r#"for="\"#,
        ] {
            assert_eq!(addresses(forwarded(&headers("forwarded", &[line]))), [None], "{line}");
            let with_own_line = forwarded(&headers("forwarded", &[line, "for=192.0.2.1"]));
            assert_eq!(addresses(with_own_line), [Some("192.0.2.1".to_owned()), None], "{line}");
        }
    }

    #[test]
    fn x_forwarded_for_is_a_list_over_all_its_lines() {
        let lines = ["6.6.6.6, nonsense", ",192.0.2.1:80,, 2001:db8::1 ,"];
        let hops = addresses(x_forwarded(&headers("x-forwarded-for", &lines)));
        let [near, next, hidden, far] = &hops[..] else { panic!("{hops:?}") };
        assert_eq!((near.as_deref(), next.as_deref()), (Some("2001:db8::1"), Some("192.0.2.1")));
        assert_eq!((hidden.as_deref(), far.as_deref()), (None, Some("6.6.6.6")));
    }

    proptest! {
        #[test]
        fn whatever_a_client_writes_is_read_without_panic(line in "[ -~\t\u{80}-\u{ff}]{0,80}") {
            if let Ok(value) = HeaderValue::from_bytes(line.as_bytes()) {
                let mut headers = HeaderMap::new();
                headers.insert(header::FORWARDED, value.clone());
                headers.insert(X_FORWARDED_FOR, value.clone());
                headers.insert(X_FORWARDED_PROTO, value);
                let _read = (forwarded(&headers), x_forwarded(&headers), x_forwarded_tls(&headers));
            }
        }

        #[test]
        fn what_a_client_writes_before_a_proxy_never_moves_the_proxy_s_word(line in "[!-~]{0,30}") {
            let joined = format!("{line}, for=192.0.2.1");
            let hops = forwarded(&headers("forwarded", &[&joined])).unwrap();
            let near = hops.first().and_then(|hop| hop.from);
            prop_assert!(near.is_none() || near == "192.0.2.1".parse().ok(), "{joined}: {near:?}");
        }
    }
}
