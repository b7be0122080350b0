//! The settings: one documented structure, from one file, the environment and a few flags.
//!
//! Read in this order, later wins: `--config FILE` (TOML), `IMAGEDEPOT__SECTION__KEY` in the
//! environment (also `…_FILE`, which names a file that holds the value, for secrets), flags. Unknown
//! keys are refused. `check-config --example` prints `config/example.toml`, which a test keeps equal
//! to the defaults here.
//!
//! `environment` is what variables say, `mistakes` finds all that is wrong at once and `location` where it stands.
//! `settings` is the structure, with `access`, `listener`, `places` and `scrub` for its larger sections; `read` fills it,
//! `check` says what does not fit together, `rules` gives the catalog its share, `reload` says what waits for a start.

mod access;
mod check;
mod environment;
mod error;
mod listener;
mod location;
mod mistakes;
mod places;
mod read;
mod reload;
mod rules;
mod scrub;
mod settings;

pub use access::{Access, Kerberos, Logins, Tokens};
pub use environment::secret_from_environment;
pub use error::ConfigError;
pub use listener::{ClientCertificates, Listener};
pub use places::{CatalogSettings, Store, Tree};
pub use read::{DEFAULT_DATA, EXAMPLE};
pub use scrub::Scrub;
pub use settings::{Bits, Checks, Config, Log, LogFormat, Metrics, Server};
