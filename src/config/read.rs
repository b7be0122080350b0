//! Reads the settings from a file, the environment and flags, and completes them.

use std::net::SocketAddr;
use std::path::Path;

use url::Url;

use super::environment::{self, Variable};
use super::error::ConfigError;
use super::listener::Listener;
use super::location::Sources;
use super::mistakes;
use super::places::below;
use super::settings::Config;
use crate::model::text_file::text_of;

/// The example of a settings file: every key with a comment, set to its default.
pub const EXAMPLE: &str = include_str!("example.toml");

/// The default data folder.
pub const DEFAULT_DATA: &str = "./imagedepot-data";

/// The address on which `serve` listens if no listener is set.
const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);

impl Config {
    /// Reads the environment and the file, if one is named.
    pub fn read(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::from(file, environment::variables()?)
    }

    /// Reads the file alone, for another place than the one that the environment describes.
    pub fn read_file(file: &Path) -> Result<Self, ConfigError> {
        Self::from(Some(file), Vec::new())
    }

    fn from(file: Option<&Path>, variables: Vec<Variable>) -> Result<Self, ConfigError> {
        let plain = |error: config::ConfigError| ConfigError(error.to_string());
        let mut builder = config::Config::builder();
        let mut text = None;
        if let Some(file) = file {
            let read = std::fs::read(file).and_then(text_of);
            let read = read.map_err(|error| ConfigError::at(file, &error))?;
            builder = builder.add_source(config::File::from_str(&read, config::FileFormat::Toml));
            text = Some((file, read));
        }
        let sources = Sources::new(text, &variables);
        for Variable { name, key, value } in variables {
            builder = builder
                .set_override(key, value)
                .map_err(|error| ConfigError(format!("{name}: {error}")))?;
        }
        let values = builder.build().map_err(|error| match file {
            Some(file) => ConfigError::at(file, &error),
            None => plain(error),
        })?;
        let values: config::Value = values.try_deserialize().map_err(plain)?;
        let mut read = mistakes::deserialize(values, &sources)?;
        read.sources = sources;
        Ok(read)
    }

    /// Returns the sentence with the line or the variable in front, if the sentence begins with a key that was set.
    pub fn locate(&self, mistake: &str) -> String {
        self.sources.locate(mistake)
    }

    /// Fills in what depends on the data folder and on `--listen`, and checks the result.
    pub fn complete(mut self, data: &Path, listen: Option<Listener>) -> Result<Self, ConfigError> {
        let data = std::path::absolute(data)
            .map_err(|error| ConfigError(format!("{}: {error}", data.display())))?;
        let folder_url = |name: &str| {
            Url::from_directory_path(data.join(name))
                .map_err(|()| ConfigError(format!("{} cannot be written as a URL", data.display())))
        };
        if self.catalog.url.is_none() {
            self.catalog.url = Some(format!("sqlite:{}", data.join("catalog.sqlite").display()));
        }
        if self.store.url.is_none() {
            self.store.url = Some(folder_url("blobs")?);
        }
        if self.tree.url.is_none() {
            self.tree.url = Some(match &self.store.url {
                Some(store) if store.scheme() != "file" => below(store, "MEDVImages"),
                _ => folder_url("MEDVImages")?,
            });
        }
        if listen.is_some() || self.listener.is_empty() {
            self.listener.push(listen.unwrap_or_else(|| Listener::plain(DEFAULT_LISTEN)));
        }
        match self.mistakes() {
            mistakes if mistakes.is_empty() => Ok(self),
            mistakes => {
                Err(ConfigError::all(mistakes.iter().map(|mistake| self.sources.locate(mistake))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_example_says_what_the_defaults_are() {
        assert_eq!(format!("{:?}", parse(EXAMPLE).unwrap()), format!("{:?}", Config::default()));
    }

    #[test]
    fn keys_without_a_default_stand_in_the_example_as_they_are_written() {
        let uncommented: String = EXAMPLE
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let config = parse(&uncommented).unwrap();
        assert!(
            config.listener.len() == 1 && config.tree.url.is_some() && config.log.access.is_some()
        );
    }

    /// Returns the names of all keys, taken from the settings' debug output, in which URLs show parts of their own.
    fn keys(config: &Config) -> Vec<String> {
        // `sources` is not a key: it says where the settings were read.
        let is_key = |name: &str| {
            name != "sources" && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        };
        let (mut keys, mut url_ends) = (Vec::new(), None);
        for line in format!("{config:#?}").lines() {
            let indent = line.len() - line.trim_start().len();
            if url_ends.is_some_and(|end| indent > end) {
                continue;
            }
            url_ends = line.contains("Url {").then_some(indent);
            let name = line.trim_start().split_once(": ").map(|(name, _)| name);
            keys.extend(name.filter(|name| is_key(name)).map(str::to_owned));
        }
        keys
    }

    #[test]
    fn every_setting_stands_in_the_example() {
        let uncommented = EXAMPLE.replace("#= ", "");
        let config = parse(&uncommented).unwrap();
        assert!(keys(&config).contains(&"image_quota".to_owned()), "{config:#?}");
        for key in keys(&config) {
            let is_there = |line: &str| {
                let line = line.trim_start_matches(['[', '#', '=', ' ']);
                line.strip_prefix(&key).is_some_and(|rest| rest.starts_with([' ', '=', ']', '.']))
                    || line.contains(&format!(".{key}]"))
                    || line.contains(&format!("{key} = "))
            };
            assert!(EXAMPLE.lines().any(is_there), "{key} is not in the example");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = parse("[tree]\npatern = 'x'").unwrap_err().to_string();
        assert!(error.contains("patern"), "{error}");
    }

    #[test]
    fn a_database_password_does_not_show_in_debug_output() {
        let config = parse("[catalog]\nurl = 'postgres://u:hunter2@db/x'").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
