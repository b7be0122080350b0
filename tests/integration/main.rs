//! The whole product from outside: the real server on a free port, the real components.
//!
//! One binary (one link step, one harness); one file a subject:
//! - what the product is for: [`life_of_an_image`], [`promotion`], [`publication`],
//!   [`update_check`], [`fleet`], [`mirror`], [`mirrors`], [`bits_downloads`], [`large_files`], [`trust`], [`prestage`],
//!   [`prestage_on_windows`];
//! - how files arrive in pieces: [`uploads`], [`upload_rights`], [`tus`], [`tus_refusals`],
//!   [`tus_clients`], [`resumable`], [`resumable_refusals`], [`bits_upload`];
//! - how it behaves to callers: [`house_rules`], [`bad_names`], [`bad_json`], [`bad_uploads`],
//!   [`hostile_callers`], [`openapi`], [`openapi_for_generators`], [`generated_clients`], [`generated_calls`], [`push_and_pull`], [`command_line`],
//!   [`daily_work`], [`accounts_over_http`], [`completion_and_manual`];
//! - which ways in there are: [`access`], [`operations`], [`passwords`], [`log_ins`], `negotiate`, `four_listeners`, [`browser`], [`secrets`],
//!   [`tokens`], [`token_commands`], [`bad_tokens`], [`outside_issuer`], [`listeners`],
//!   [`client_certificates`], [`certificate_reload`], [`slow_senders`], [`certificate_mappings`],
//!   [`mapped_certificates`], [`behind_proxies`]; what is written down of it: [`audit`];
//! - how it is run: [`every_command`], [`simulate`], [`documents_walk`], [`download_limits`], [`observability`], [`settings`], [`garbage`], [`scrub`], [`backups`], [`backup_places`], [`moving_in`],
//!   [`relocation`], [`deployment`], [`builds`], [`idle_memory`];
//! - what it survives: [`crash`], [`concurrency`], [`at_once`], [`in_the_way`], [`graceful_stop`],
//!   [`outages`], [`store_outages`], [`full_disk`], [`in_a_bucket`], [`uploads_survive`], [`push_resumes`],
//!   [`replicas`], [`silent_database`], [`faults`];
//! - how the code stands: [`layers`], [`schema`], [`doc_comments`]; what the documents promise: [`reference`].
//!
//! What touches the catalog runs on SQLite and on PostgreSQL.

mod access;
mod accounts_over_http;
mod agent;
mod at_once;
mod audit;
mod backup_places;
mod backup_rows;
mod backups;
mod bad_json;
mod bad_names;
mod bad_tokens;
mod bad_uploads;
mod behind_proxies;
mod bits_downloads;
mod bits_upload;
mod browser;
mod bucket_options;
mod builds;
mod certificate_mappings;
mod certificate_reload;
mod client_certificates;
mod command_line;
mod completion_and_manual;
mod concurrency;
mod connections;
mod crash;
mod daily_work;
mod databases;
mod deltas;
mod deployment;
mod doc_comments;
mod documents_walk;
mod download_limits;
mod events;
mod every_command;
mod everyday_clients;
mod faults;
mod filtered_lists;
mod fleet;
#[cfg(feature = "negotiate")]
mod four_listeners;
mod full_disk;
mod garbage;
mod generated_calls;
mod generated_clients;
mod graceful_stop;
mod harness;
mod heads;
mod hostile_callers;
mod house_rules;
mod idle_memory;
mod in_a_bucket;
mod in_the_way;
mod killed_on_a_full_disk;
mod large_files;
mod layers;
mod life_of_an_image;
mod listeners;
mod log_ins;
mod mapped_certificates;
mod mirror;
mod mirrors;
mod moving_in;
#[cfg(feature = "negotiate")]
mod negotiate;
mod observability;
mod openapi;
mod openapi_for_generators;
mod operations;
mod others_work;
mod outages;
mod outside_issuer;
mod passwords;
mod prestage;
mod prestage_on_windows;
mod promotion;
mod publication;
mod push_and_pull;
mod push_resumes;
mod reference;
mod relocation;
mod replicas;
mod reports;
mod resumable;
mod resumable_refusals;
mod revocation_lists;
mod rollouts;
mod schema;
mod scrub;
mod secrets;
mod settings;
mod shared_caches;
mod silent_database;
mod simulate;
mod slow_line_behind_nginx;
mod slow_senders;
mod status;
mod store_outages;
mod through_haproxy;
mod token_commands;
mod tokens;
mod trust;
mod tus;
mod tus_clients;
mod tus_refusals;
mod unknown_length;
mod update_check;
mod upload_rights;
mod uploads;
mod uploads_survive;
mod used_up;
mod webhooks;
mod withdraw;
