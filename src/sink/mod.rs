//! Where events go. Each sink reads the log behind its own cursor.

mod feed;
pub mod heartbeat;
pub mod mqtt;
pub mod webhook;
