//! The mapping of client certificates to users: one to one by the certificate itself, or many to one by rules on its
//! names, as in IIS.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::certificate::{AlternativeKind, AttributeType, Certificate};
use super::name::{AccountName, MappingName};
use super::{pattern, tag};

/// A mapping, as stored in the catalog.
#[derive(Debug, Clone)]
pub struct CertificateMapping {
    pub id: Uuid,
    pub name: MappingName,
    pub criterion: Criterion,
    pub outcome: Outcome,
    pub version: i64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

impl CertificateMapping {
    /// Returns the tag, which is different after each change.
    pub fn tag(&self) -> String {
        tag::of_version(self.version)
    }
}

/// The certificates that a mapping applies to.
#[derive(Debug, Clone)]
pub enum Criterion {
    /// Only this certificate. Its renewal is a different certificate.
    Certificate(Box<Certificate>),
    /// All certificates that satisfy every rule. Mappings at lower positions are checked first; positions begin with 1.
    Rules { rules: Rules, position: i64 },
}

/// The effect of a mapping on its certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// They authenticate as this user.
    Allow(AccountName),
    /// They are refused. The user, if there is one, is only a note for people.
    Deny(Option<AccountName>),
}

/// One or more rules, all of which have to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Rule>", into = "Vec<Rule>")]
pub struct Rules(Vec<Rule>);

/// A condition on one name of a certificate. If the name has several values, one that matches is enough.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenRule", into = "WrittenRule")]
pub struct Rule {
    place: Place,
    pattern: String,
    case_sensitive: bool,
}

/// The names that a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Subject(AttributeType),
    Issuer(AttributeType),
    Alternative(AlternativeKind),
}

/// The JSON form of a rule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CertificateRule, example = json!({"field": "subject", "attribute": "OU", "match": "Sales*"}))]
pub struct WrittenRule {
    pub field: RuleField,
    /// The attribute. For subject and issuer: `CN`, `OU`, `O`, … or an object identifier. For alternative names: `dns`,
    /// `email`, `uri`, `ip` or `upn`.
    pub attribute: String,
    /// The value to match, in which `*` stands for any run of characters.
    pub r#match: String,
    /// True, the default, if the comparison is case-sensitive.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub case_sensitive: bool,
}

/// The part of a certificate that a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleField {
    Subject,
    Issuer,
    /// The subject alternative names.
    San,
}

fn yes() -> bool {
    true
}

/// The reason why a text is not a valid rule, or a list of rules is not valid. The message says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRule(String);

impl Criterion {
    pub fn holds(&self, certificate: &Certificate) -> bool {
        match self {
            Self::Certificate(own) => own.der() == certificate.der(),
            Self::Rules { rules, .. } => rules.hold(certificate),
        }
    }

    /// Returns the position in the order of checks: 0 for a mapping of a single certificate, which comes before all
    /// rules.
    pub fn position(&self) -> i64 {
        match self {
            Self::Certificate(_) => 0,
            Self::Rules { position, .. } => *position,
        }
    }
}

impl Outcome {
    pub fn user(&self) -> Option<&AccountName> {
        match self {
            Self::Allow(user) => Some(user),
            Self::Deny(user) => user.as_ref(),
        }
    }

    pub fn denies(&self) -> bool {
        matches!(self, Self::Deny(_))
    }
}

impl Rules {
    pub fn hold(&self, certificate: &Certificate) -> bool {
        self.0.iter().all(|rule| rule.holds(certificate))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

impl TryFrom<Vec<Rule>> for Rules {
    type Error = InvalidRule;

    fn try_from(rules: Vec<Rule>) -> Result<Self, InvalidRule> {
        // An empty list would hold for every certificate.
        if (1..=20).contains(&rules.len()) {
            Ok(Self(rules))
        } else {
            Err(InvalidRule("a mapping has 1 to 20 rules, all of which must match".to_owned()))
        }
    }
}

impl From<Rules> for Vec<Rule> {
    fn from(rules: Rules) -> Self {
        rules.0
    }
}

impl Rule {
    fn holds(&self, certificate: &Certificate) -> bool {
        match &self.place {
            Place::Subject(attribute) => self.fits(certificate.subject_values(attribute)),
            Place::Issuer(attribute) => self.fits(certificate.issuer_values(attribute)),
            Place::Alternative(kind) => self.fits(certificate.alternative_names(*kind)),
        }
    }

    fn fits<'a>(&self, mut values: impl Iterator<Item = &'a str>) -> bool {
        if self.case_sensitive {
            values.any(|value| pattern::matches(&self.pattern, value))
        } else {
            let pattern = self.pattern.to_lowercase();
            values.any(|value| pattern::matches(&pattern, &value.to_lowercase()))
        }
    }

    /// Returns the same rule, but without regard to case.
    #[must_use]
    pub fn ignoring_case(mut self) -> Self {
        self.case_sensitive = false;
        self
    }

    fn new(place: Place, pattern: String, case_sensitive: bool) -> Result<Self, InvalidRule> {
        if (1..=256).contains(&pattern.len()) && !pattern.chars().any(char::is_control) {
            Ok(Self { place, pattern, case_sensitive })
        } else {
            let what =
                "a rule's match must have 1 to 256 bytes, in which * stands for any characters";
            Err(InvalidRule(what.to_owned()))
        }
    }
}

impl TryFrom<WrittenRule> for Rule {
    type Error = InvalidRule;

    fn try_from(written: WrittenRule) -> Result<Self, InvalidRule> {
        let place = Place::read(written.field, &written.attribute)?;
        Self::new(place, written.r#match, written.case_sensitive)
    }
}

impl From<Rule> for WrittenRule {
    fn from(rule: Rule) -> Self {
        let (field, attribute) = match &rule.place {
            Place::Subject(attribute) => (RuleField::Subject, attribute.to_string()),
            Place::Issuer(attribute) => (RuleField::Issuer, attribute.to_string()),
            Place::Alternative(kind) => (RuleField::San, kind.to_string()),
        };
        Self { field, attribute, r#match: rule.pattern, case_sensitive: rule.case_sensitive }
    }
}

impl Place {
    fn read(field: RuleField, attribute: &str) -> Result<Self, InvalidRule> {
        let of_a_name = || attribute.parse().map_err(|error| InvalidRule(format!("{error}")));
        Ok(match field {
            RuleField::Subject => Self::Subject(of_a_name()?),
            RuleField::Issuer => Self::Issuer(of_a_name()?),
            RuleField::San => Self::Alternative(
                attribute.parse().map_err(|error| InvalidRule(format!("{error}")))?,
            ),
        })
    }
}

/// Reads a rule as it is written on the command line: `subject.OU=Sales*`, `san.dns=*.example.com`.
impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let unlike = || {
            InvalidRule(format!(
                "{text:?} does not have the form subject.OU=Sales*, issuer.CN=… or san.dns=…"
            ))
        };
        let (place, pattern) = text.split_once('=').ok_or_else(unlike)?;
        let (field, attribute) = place.split_once('.').ok_or_else(unlike)?;
        let field = match field {
            "subject" => RuleField::Subject,
            "issuer" => RuleField::Issuer,
            "san" => RuleField::San,
            _ => return Err(unlike()),
        };
        Self::new(Place::read(field, attribute)?, pattern.to_owned(), true)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let case = if self.case_sensitive { "" } else { " (any case)" };
        match &self.place {
            Place::Subject(attribute) => write!(f, "subject.{attribute}")?,
            Place::Issuer(attribute) => write!(f, "issuer.{attribute}")?,
            Place::Alternative(kind) => write!(f, "san.{kind}")?,
        }
        write!(f, "={}{case}", self.pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: serde_json::Value) -> Result<Rule, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_is_written_as_it_was_read() {
        for (text, shown) in [
            ("subject.ou=Sales*", "subject.OU=Sales*"),
            ("issuer.2.5.4.3=A=B", "issuer.CN=A=B"),
            ("subject.1.2.3.4=x", "subject.1.2.3.4=x"),
            ("subject.S=Bavaria", "subject.ST=Bavaria"),
            ("san.DNS=*.example.com", "san.dns=*.example.com"),
        ] {
            let read: Rule = text.parse().unwrap();
            assert_eq!(read.to_string(), shown);
            let json = serde_json::to_value(&read).unwrap();
            assert_eq!(rule(json).unwrap(), read);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_a_hint() {
        for text in [
            "subject.CN",
            "CN=x",
            "subject.=x",
            "subject.XX=x",
            "san.CN=x",
            "subject.dns=x",
            "subject.CN=",
            "subject.3.1=x",
            "subject.2=x",
            "subject.2.05.4=x",
            "subject.2..4=x",
            "subject.CN=\n",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
        let unknown =
            serde_json::json!({"field": "subject", "attribute": "CN", "match": "x", "y": 1});
        assert!(rule(unknown).unwrap_err().contains('y'));
        assert!(Rules::try_from(Vec::new()).is_err(), "no rules at all would hold for everybody");
        let many = vec!["subject.CN=x".parse::<Rule>().unwrap(); 21];
        assert!(Rules::try_from(many).is_err());
    }
}
