//! The MQTT publisher.
