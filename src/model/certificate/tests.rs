//! Valid certificates of all kinds, and invalid ones.

use proptest::prelude::*;
use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString, UniversalString};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, KeyPair,
    OtherNameValue, SanType,
};

use super::*;

fn issue(params: &CertificateParams) -> Vec<u8> {
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn sample() -> Vec<u8> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "Jürgen");
    name.push(
        DnType::OrganizationName,
        DnValue::TeletexString(TeletexString::try_from("Teletex").unwrap()),
    );
    name.push(DnType::LocalityName, DnValue::BmpString(BmpString::try_from("Käse 芝").unwrap()));
    name.push(
        DnType::StateOrProvinceName,
        DnValue::UniversalString(UniversalString::try_from("ü𝄞").unwrap()),
    );
    name.push(
        DnType::CountryName,
        DnValue::PrintableString(PrintableString::try_from("DE").unwrap()),
    );
    name.push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "j@example.com");
    params.distinguished_name = name;
    params.subject_alt_names = vec![
        SanType::DnsName(Ia5String::try_from("a.example.com").unwrap()),
        SanType::DnsName(Ia5String::try_from("b.example.com").unwrap()),
        SanType::Rfc822Name(Ia5String::try_from("j@example.com").unwrap()),
        SanType::URI(Ia5String::try_from("urn:x:1").unwrap()),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
        SanType::IpAddress("2001:db8::7".parse().unwrap()),
        SanType::OtherName((
            vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3],
            OtherNameValue::Utf8String("juergen@corp.example.com".to_owned()),
        )),
        SanType::OtherName((vec![1, 2, 3], OtherNameValue::Utf8String("other".to_owned()))),
    ];
    issue(&params)
}

fn subject(certificate: &Certificate, attribute: &str) -> Vec<String> {
    let attribute = attribute.parse().unwrap();
    certificate.subject_values(&attribute).map(str::to_owned).collect()
}

#[test]
fn names_are_read_in_every_kind_of_string() {
    let certificate = Certificate::from_der(&sample()).unwrap();
    for (attribute, value) in [
        ("CN", "Jürgen"),
        ("2.5.4.3", "Jürgen"),
        ("O", "Teletex"),
        ("L", "Käse 芝"),
        ("S", "ü𝄞"),
        ("c", "DE"),
        ("E", "j@example.com"),
    ] {
        assert_eq!(subject(&certificate, attribute), [value], "{attribute}");
        let attribute = attribute.parse().unwrap();
        assert!(certificate.issuer_values(&attribute).eq([value]), "self-signed");
    }
    assert_eq!(subject(&certificate, "OU"), [""; 0]);
    let names = |kind| certificate.alternative_names(kind).collect::<Vec<_>>();
    assert_eq!(names(AlternativeKind::Dns), ["a.example.com", "b.example.com"]);
    assert_eq!(names(AlternativeKind::Email), ["j@example.com"]);
    assert_eq!(names(AlternativeKind::Uri), ["urn:x:1"]);
    assert_eq!(names(AlternativeKind::Ip), ["192.0.2.7", "2001:db8::7"]);
    assert_eq!(names(AlternativeKind::Upn), ["juergen@corp.example.com"]);
}

#[test]
fn pem_comes_out_as_it_went_in() {
    let certificate = Certificate::from_der(&sample()).unwrap();
    let pem = format!("subject=whoever\r\n{}\n", certificate.to_pem().replace('\n', "\r\n"));
    assert_eq!(Certificate::from_pem(&pem).unwrap().fingerprint(), certificate.fingerprint());
}

#[test]
fn what_is_not_one_certificate_is_told_apart() {
    let pem = Certificate::from_der(&sample()).unwrap().to_pem();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let cut = &pem[..pem.len() / 2];
    let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    let damaged = pem.replacen('M', "*", 1);
    for (text, error) in [
        ("", MalformedCertificate::NotThere),
        ("hello", MalformedCertificate::NotThere),
        (&format!("{pem}{pem}"), MalformedCertificate::Several),
        (&key, MalformedCertificate::SomethingElse),
        (&format!("{pem}{key}"), MalformedCertificate::SomethingElse),
        (cut, MalformedCertificate::BrokenPem),
        (&damaged, MalformedCertificate::BrokenPem),
        (empty, MalformedCertificate::Structure),
    ] {
        assert_eq!(Certificate::from_pem(text).err(), Some(error), "{text}");
    }
    let mut longer = sample();
    longer.push(0);
    assert_eq!(Certificate::from_der(&longer).err(), Some(MalformedCertificate::Structure));
    let huge = vec![0x30; LARGEST + 1];
    assert_eq!(Certificate::from_der(&huge).err(), Some(MalformedCertificate::TooLarge));
}

#[test]
fn a_name_that_cannot_be_read_makes_the_certificate_malformed() {
    let der = sample();
    let in_utf8 = "Jürgen".as_bytes();
    let at = der.windows(in_utf8.len()).position(|bytes| bytes == in_utf8).unwrap();
    let mut broken = der.clone();
    broken[at + 1] = 0xff;
    assert_eq!(Certificate::from_der(&broken).err(), Some(MalformedCertificate::Text));
    // An address of five bytes, and the same extension twice.
    let names =
        |content: &[u8]| CustomExtension::from_oid_content(&[2, 5, 29, 17], content.to_vec());
    let mut params = CertificateParams::default();
    params.custom_extensions = vec![names(&[0x30, 7, 0x87, 5, 1, 2, 3, 4, 5])];
    assert_eq!(Certificate::from_der(&issue(&params)).err(), Some(MalformedCertificate::Text));
    let mut params = CertificateParams::default();
    let one = names(&[0x30, 6, 0x87, 4, 1, 2, 3, 4]);
    params.custom_extensions = vec![one.clone(), one];
    assert_eq!(Certificate::from_der(&issue(&params)).err(), Some(MalformedCertificate::Structure));
}

#[test]
fn a_shown_name_stays_on_its_line() {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "eve\n2026 admin logged in");
    let shown = Certificate::from_der(&issue(&params)).unwrap().shown_subject();
    assert_eq!(shown, "CN=eve\\n2026 admin logged in");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// Checks that a certificate with some bytes changed, cut or repeated is read or refused, and never causes a panic.
    #[test]
    fn damaged_certificates_are_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        doubled in prop::option::of(any::<prop::sample::Index>()),
    ) {
        static WHOLE: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(sample);
        let mut der = WHOLE.clone();
        for (place, byte) in changes {
            let at = place.index(der.len());
            der[at] = byte;
        }
        if let Some(place) = doubled {
            let (at, whole) = (place.index(der.len()), der.clone());
            der.extend_from_slice(&whole[at..]);
        }
        if let Some(place) = cut {
            der.truncate(place.index(der.len()));
        }
        if let Ok(certificate) = Certificate::from_der(&der) {
            let _shown = (certificate.shown_subject(), certificate.shown_issuer(), certificate.not_after());
            prop_assert!(Certificate::from_pem(&certificate.to_pem()).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_no_certificate(der in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Certificate::from_der(&der).is_err());
    }

    #[test]
    fn any_text_is_no_certificate(text in "(-----BEGIN CERTIFICATE-----\n)?[ -~\n]{0,200}") {
        prop_assert!(Certificate::from_pem(&text).is_err());
    }
}
