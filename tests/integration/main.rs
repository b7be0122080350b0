//! The whole product from outside: the real server, the real components.
