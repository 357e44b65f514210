//! Portcullis: a hub gateway for doors. What radios and bridges say goes in, trustworthy events come out.
//!
//! The crate is laid out as the data flows: [`source`] → [`hub`] (pure) → [`store`] → [`sink`] and [`api`].
//! `docs/architecture.md` draws it and names the test behind each promise.
#![forbid(unsafe_code)]

pub mod api;
pub mod backoff;
pub mod cli;
pub mod config;
pub mod console;
pub mod engine;
pub mod event;
pub mod health;
pub mod hub;
pub mod identity;
pub mod places;
pub mod service;
pub mod signal;
pub mod sink;
pub mod source;
pub mod store;
pub mod time;
mod tls;
pub mod trust;
