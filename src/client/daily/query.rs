//! The query of an address.

use url::Url;

/// The value of a parameter that is set or absent.
pub const SET: &str = "true";

/// Returns the address with these parameters; those without a value are left out.
pub fn with(mut address: Url, parameters: &[(&str, Option<&str>)]) -> Url {
    for (name, value) in parameters {
        if let Some(value) = value {
            address.query_pairs_mut().append_pair(name, value);
        }
    }
    address
}

/// Returns the value of a parameter for a flag of the command line.
pub fn if_set(flag: bool) -> Option<&'static str> {
    flag.then_some(SET)
}
