//! Where events go. Each sink reads the log behind its own cursor.

pub mod mqtt;
