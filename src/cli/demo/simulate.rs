//! What the API's `*/simulate/*` paths tell the building to do.

use tokio::sync::mpsc;

use crate::api::simulate::{Happening, Simulated};
use crate::signal::DeviceKey;
use crate::source::demo::bridge::Bridge;
use crate::source::demo::building::Zwave;
use crate::source::demo::lock::Written;

/// Requests under way at once.
pub const AT_ONCE: usize = 16;

/// Lets happen what is asked, until nobody can ask any more.
pub async fn obey(bridge: Bridge, mut asked: mpsc::Receiver<Simulated>) {
    while let Some(Simulated { device, happening, done }) = asked.recv().await {
        let _ = done.send(happen(&bridge, device, &happening));
    }
}

fn happen(bridge: &Bridge, device: DeviceKey, happening: &Happening) -> Result<(), String> {
    let DeviceKey::Zwave { node, .. } = device else {
        return Err("the demo's Bluetooth devices do what they like; simulate with a Z-Wave device".into());
    };
    let done = match happening {
        Happening::Noise => bridge.make_noise(node),
        Happening::Entry(digits) => bridge.enter(node, digits.reveal()),
        Happening::KeypadLock if bridge.is_lock(node) => {
            bridge.attend(node);
            bridge.happen(node, Zwave::Keypad { locked: true, user: 0 });
            true
        }
        Happening::KeypadLock => false,
        Happening::Programmed(digits) => match bridge.program_anywhere(node, digits.reveal()) {
            Written::Duplicate => return Err("the lock has this code already".into()),
            written => written == Written::Added,
        },
    };
    if done { Ok(()) } else { Err("this device can do no such thing".into()) }
}
