//! What a message of zwave-js-server means. Pure.
