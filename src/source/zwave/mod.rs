//! Z-Wave: the WebSocket of zwave-js-server ([`link`]) and the mapping of its messages ([`map`], pure).

pub mod link;
pub mod map;
