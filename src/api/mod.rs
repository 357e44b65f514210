//! The HTTP API; the same router answers on the control socket.
