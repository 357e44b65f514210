//! The WebSocket link to one zwave-js-server.
