//! The changed settings that a running server cannot apply.

use super::settings::Config;

impl Config {
    /// Returns the settings that differ and that only a restart can apply.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
        let differences = [
            ("[server]", text(&self.server) != text(&new.server)),
            ("[[listener]]", text(&self.listener) != text(&new.listener)),
            ("catalog.url", self.catalog.url != new.catalog.url),
            ("catalog.connections", self.catalog.connections != new.catalog.connections),
            ("store.url", self.store.url != new.store.url),
            ("store.options", self.store.options != new.store.options),
            (
                "store.multipart_copy_above",
                self.store.multipart_copy_above != new.store.multipart_copy_above,
            ),
            ("tree.url", self.tree.url != new.tree.url),
            ("tree.alias", self.tree.alias != new.tree.alias),
            ("tree.pattern", self.tree.pattern != new.tree.pattern),
            ("tree.redirect", self.tree.redirect != new.tree.redirect),
            ("access.oidc", text(&self.access.oidc) != text(&new.access.oidc)),
            ("access.kerberos", text(&self.access.kerberos) != text(&new.access.kerberos)),
            ("access.logins", text(&self.access.logins) != text(&new.access.logins)),
            ("access.cors", self.access.cors != new.access.cors),
            ("metrics.listen", self.metrics.listen != new.metrics.listen),
            ("log.format", self.log.format != new.log.format),
            ("log.access", self.log.access != new.log.access),
        ];
        differences.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
    }
}
