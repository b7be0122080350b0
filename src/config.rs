//! The settings: one documented structure, filled from one file, the environment and a few flags.
//!
//! The sources are read in this order, and later ones win: `--config FILE` (TOML), `IMAGEDEPOT__SECTION__KEY` in the
//! environment (also `…_FILE`, which names a file that holds the value, for secrets), flags. Unknown keys are refused.
//! `check-config --example` prints `config/example.toml`, which a test keeps equal to the defaults here.
//!
//! `settings` is the structure, with `access`, `listener`, `places` and `scrub` for its larger sections. `read` fills
//! it, and `environment` reads the variables. `mistakes` finds all wrong values at once, and `location` the place of
//! each. `check` finds values that do not fit together, `rules` gives the catalog its share of the settings, and
//! `reload` lists the changes that need a restart.

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
