#![doc = include_str!("../ARCHITECTURE.md")]

pub mod access;
pub mod api;
pub mod catalog;
pub mod client;
pub mod command_line;
pub mod config;
pub mod model;
pub mod prestage;
pub mod server;
pub mod storage;
pub mod telemetry;
pub mod upkeep;
pub mod wire;
