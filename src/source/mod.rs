//! Radios and bridges: they turn what is heard into [`Report`](crate::signal::Report)s and hand them to the hub.
//!
//! A source never judges and never writes anywhere else.

pub mod ble;
pub mod capture;
pub mod demo;
pub mod replay;
pub mod rules;
pub mod zwave;

use tokio::sync::mpsc;

use crate::hub::Input;

/// The hub's ear. Bounded: a source that finds it full waits, or drops and counts what may be dropped.
pub type Inputs = mpsc::Sender<Input>;
