//! Z-Wave: the WebSocket of zwave-js-server ([`link`]) and what its messages mean ([`bridge`], pure).
//!
//! ```text
//! zwave-js-server ══ WebSocket ══ link ── message ──► bridge ──► node (memory of one node) ──► map, alarm_v1 (tables)
//! ```

mod alarm_v1;
pub mod bridge;
pub mod link;
mod map;
mod node;
#[cfg(test)]
mod tests;
mod wire;

pub use bridge::Bridge;
