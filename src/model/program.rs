//! Which program this is: what `--version`, the metrics and `GET /status` say of it.

/// Of the crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that the program was built from, where the build said so (`IMAGEDEPOT_COMMIT`).
pub fn commit() -> Option<&'static str> {
    option_env!("IMAGEDEPOT_COMMIT").filter(|commit| !commit.is_empty())
}

/// The cargo features that it was built with.
pub fn features() -> Vec<&'static str> {
    let all = [
        ("server", cfg!(feature = "server")),
        ("client", cfg!(feature = "client")),
        ("negotiate", cfg!(feature = "negotiate")),
    ];
    all.into_iter().filter_map(|(name, is_in)| is_in.then_some(name)).collect()
}
