//! The whole product from outside: the real server on a free port, the real components.
//!
//! One binary (one link step, one harness); one file a subject:
//! - what the product is for: [`life_of_an_image`], [`promotion`], [`publication`],
//!   [`update_check`], [`bits_downloads`], [`large_files`];
//! - how it behaves to callers: [`house_rules`], [`bad_input`], [`access`], [`openapi`],
//!   [`generated_clients`], [`command_line`];
//! - what it survives: [`crash`], [`concurrency`];
//! - how the code stands: [`layers`].
//!
//! What touches the catalog runs on SQLite and on PostgreSQL.

mod access;
mod bad_input;
mod bits_downloads;
mod command_line;
mod concurrency;
mod crash;
mod generated_clients;
mod harness;
mod house_rules;
mod large_files;
mod layers;
mod life_of_an_image;
mod openapi;
mod promotion;
mod publication;
mod update_check;
