//! The address of a PostgreSQL database: which forms and parameters are understood. sqlx takes an unknown parameter for
//! a typing error and writes it into the log with its value, which would disclose the value of a misspelt `password`.

use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use url::Url;

use crate::storage::error::StorageError;

/// The parameters that sqlx knows (`PgConnectOptions`), by their names in libpq.
const PARAMETERS: [&str; 17] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "options",
    "statement-cache-capacity",
];

/// Parses an address of PostgreSQL. Returns `Unusable` for any other text, without any credentials from it.
pub(super) fn options(text: &str) -> Result<PgConnectOptions, StorageError> {
    let unusable =
        |why: &dyn std::fmt::Display| StorageError::Unusable(format!("catalog.url: {why}"));
    let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    let Some(rest) = rest else {
        return Err(unusable(
            &"must be sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE (through a socket: \
             postgres:///DATABASE?host=/run/postgresql)",
        ));
    };
    let url = format!("postgres://{}", without_empty_host(rest));
    let parsed = Url::parse(&url).map_err(|error| unusable(&error))?;
    for (name, _) in parsed.query_pairs() {
        let is_known = PARAMETERS.contains(&&*name)
            || name == "application_name"
            || (name.starts_with("options[") && name.ends_with(']'));
        if !is_known {
            return Err(unusable(&format!(
                "the parameter {name:?} is not known; the known parameters are {}",
                PARAMETERS.join(", ")
            )));
        }
    }
    PgConnectOptions::from_str(&url).map_err(|error| match error {
        sqlx::Error::Configuration(error) => unusable(&error),
        error => unusable(&error),
    })
}

/// Moves the user and the password of an address without a host to the parameters, where they mean the same. libpq
/// accepts `USER:PASSWORD@/DATABASE?host=/run/postgresql`, which is not a URL.
fn without_empty_host(rest: &str) -> String {
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let Some(user_info) = authority.strip_suffix('@') else { return rest.to_owned() };
    let escaped = |text: &str| text.replace('+', "%2B").replace('&', "%26").replace('#', "%23");
    let given = match user_info.split_once(':') {
        Some((user, password)) => {
            format!("user={}&password={}", escaped(user), escaped(password))
        }
        None => format!("user={}", escaped(user_info)),
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{given}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpq_s_forms_of_socket_addresses_are_understood() {
        for (text, user) in [
            ("postgres:///depot?host=/run/postgresql&user=depot", "depot"),
            ("postgresql://depot@/depot?host=/run/postgresql", "depot"),
            ("postgresql://depot:a%20b+c@/depot?host=/run/postgresql", "depot"),
            ("postgres://depot@%2Frun%2Fpostgresql/depot", "depot"),
            ("postgres://depot@%2Frun%2Fpostgresql:5433/depot", "depot"),
        ] {
            let read = options(text).unwrap();
            assert_eq!(read.get_socket().unwrap().to_str(), Some("/run/postgresql"), "{text}");
            assert_eq!((read.get_username(), read.get_database()), (user, Some("depot")), "{text}");
        }
        assert_eq!(
            options("postgres://depot@db.example.com/x").unwrap().get_host(),
            "db.example.com"
        );
    }

    #[test]
    fn what_is_no_address_is_refused_and_no_secret_told() {
        for (text, named) in [
            ("postgres://depot:hunter2@db/x?pasword=hunter2", "\"pasword\""),
            ("postgres://depot:hunter2@db:99999/x", "port"),
            ("postgres://depot:hunter2@d b/x", "domain"),
            ("postgres://depot:hunter2@db/x?sslmode=perhaps", "perhaps"),
            ("mysql://depot:hunter2@db/x", "sqlite:PATH"),
            ("", "sqlite:PATH"),
        ] {
            let refused = options(text).unwrap_err().to_string();
            assert!(refused.contains(named) && !refused.contains("hunter2"), "{text}: {refused}");
        }
    }
}
