//! The identity of this program, as shown by `--version`, the metrics and `GET /status`.

/// The version of the crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Returns the commit that the program was built from, if the build specified it (`IMAGEDEPOT_COMMIT`).
pub fn commit() -> Option<&'static str> {
    option_env!("IMAGEDEPOT_COMMIT").filter(|commit| !commit.is_empty())
}

/// Returns the cargo features that the program was built with.
pub fn features() -> Vec<&'static str> {
    let all = [
        ("server", cfg!(feature = "server")),
        ("client", cfg!(feature = "client")),
        ("negotiate", cfg!(feature = "negotiate")),
    ];
    all.into_iter().filter_map(|(name, is_in)| is_in.then_some(name)).collect()
}
