//! Protocols that others defined, parsed and written without knowing the catalog.
