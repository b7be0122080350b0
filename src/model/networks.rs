//! A list of networks in the settings.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// Networks and addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &String| match text.parse::<IpAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                serde::de::Error::custom(format!("{text:?} is neither an address nor a network"))
            }),
        };
        let written = Vec::<String>::deserialize(deserializer)?;
        written.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}
