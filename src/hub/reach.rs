//! What can be reached and what cannot: presence, links, and what they mean for devices and their locks.

use super::tell::Teller;
use super::{Account, Device, Hub, Output, edges};
use crate::event::ErrorCode;
use crate::signal::{CodeNotice, DeviceKey, Link, LinkNews, Report, Signal};
use crate::time::{Mono, Now};

impl Hub {
    /// What the silence of radios and the word of drivers come to by now.
    pub(super) fn judge_presence(&mut self, now: Now, out: &mut Output) {
        if self.presence.wake_at().is_some_and(|at| at <= now.mono) {
            let mut verdicts = Vec::new();
            self.presence.judge(now.mono, &mut verdicts, &mut out.actions);
            self.pronounce(now, verdicts, out);
        }
        if self.nodes.wake_at().is_some_and(|at| at <= now.mono) {
            self.judge_nodes(now, out);
        }
    }

    pub(super) fn judge_nodes(&mut self, now: Now, out: &mut Output) {
        let mut verdicts = Vec::new();
        self.nodes.judge(now.mono, &mut verdicts, &mut out.actions);
        self.pronounce(now, verdicts, out);
    }

    fn pronounce(&mut self, now: Now, verdicts: Vec<(DeviceKey, Option<ErrorCode>)>, out: &mut Output) {
        for (key, verdict) in verdicts {
            match verdict {
                Some(code) => self.lose(now, key, code, out),
                None => self.find(now, key, out),
            }
        }
    }

    /// Everything that an account reaches is lost with it, each device once.
    pub(super) fn lose_all(&mut self, now: Now, home: Option<u32>, out: &mut Output) {
        let of_account = |d: &Device| match d.key {
            DeviceKey::Ble(_) => home.is_none(),
            DeviceKey::Zwave { home: h, .. } => home == Some(h),
        };
        for key in self.keys(|d| d.connected && of_account(d)) {
            let code = self.accounts.of(&key).map_or(ErrorCode::HubDisconnected, Account::error_code);
            self.presence.lost_with_hub(&key, now.mono);
            self.lose(now, key, code, out);
        }
        if let Some(home) = home {
            self.nodes.bridge(home, false, now.mono);
        }
    }

    fn lose(&mut self, now: Now, key: DeviceKey, code: ErrorCode, out: &mut Output) {
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        if let Some(device) = self.devices.get_mut(&key)
            && device.connected
        {
            device.disconnected(code, &mut teller);
            teller.keep(device);
            self.tell_lock_of_keypad(now, key, out);
        }
    }

    pub(super) fn find(&mut self, now: Now, key: DeviceKey, out: &mut Output) {
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        if let Some(device) = self.devices.get_mut(&key)
            && !device.connected
        {
            device.connected(&mut teller);
            teller.keep(device);
            self.tell_lock_of_keypad(now, key, out);
            self.lock_is_back(now, key, out);
        }
    }

    /// A keypad that the configuration calls a lock's accessory came or went.
    fn tell_lock_of_keypad(&mut self, now: Now, keypad: DeviceKey, out: &mut Output) {
        let connected = self.devices.get(&keypad).is_some_and(|d| d.connected);
        let listed = self.accounts.place(&keypad).and_then(|place| self.world.settings.device(&place));
        let lock = listed.and_then(|l| l.accessory_of.as_ref()).and_then(|lock| self.accounts.key(lock));
        let Some(device) = lock.and_then(|lock| self.devices.get_mut(&lock)) else { return };
        let mut teller = Teller::new(&mut self.world, Some(&self.accounts), now, out);
        if edges::keypad(device, connected, &mut teller) {
            teller.keep(device);
        }
    }

    /// Starts to judge a device's presence.
    pub(super) fn watch(&mut self, device: &Device, now: Mono) {
        match device.key {
            DeviceKey::Ble(_) => {
                let listed = self.accounts.place(&device.key).and_then(|p| self.world.settings.device(&p));
                let declared = listed.and_then(|l| l.interval);
                self.presence.watch(device.key, declared, device.connected, now);
            }
            DeviceKey::Zwave { .. } => self.nodes.watch(device.key, &device.description, device.connected, now),
        }
    }

    /// What a report says of a node's presence.
    pub(super) fn hear_node(&mut self, now: Now, report: &Report) {
        let mut heard = report.signals.is_empty();
        for signal in &report.signals {
            match signal {
                Signal::Node(status) => self.nodes.status(report.device, *status, now.mono),
                Signal::Described(description) => self.nodes.described(report.device, description),
                Signal::Remembered(_) | Signal::Removed | Signal::Attempted { .. } => {}
                // A driver says the same of a node that did not answer.
                Signal::Code(
                    CodeNotice::Refused { .. } | CodeNotice::Clock(None) | CodeNotice::Schedule { schedule: None, .. },
                ) => {}
                _ => heard = true,
            }
        }
        if heard {
            self.nodes.heard(report.device, now.mono);
        }
    }

    pub(super) fn link(&mut self, now: Now, link: &Link, news: LinkNews, out: &mut Output) {
        if let Link::Network(name) = link
            && !self.world.settings.networks.contains(name)
        {
            // It was taken out; what its link still had to say makes no account.
            return;
        }
        if let LinkNews::Adapter { powered, scanning } = news {
            self.presence.adapter(link, powered && scanning, now.mono);
        }
        let mut lost = Vec::new();
        self.accounts.link(link, &news, &mut Teller::new(&mut self.world, None, now, out), &mut lost);
        for home in lost {
            self.lose_all(now, home, out);
        }
        match news {
            LinkNews::BridgeUp { home } => {
                self.nodes.bridge(home, true, now.mono);
                self.reconcile(now, out);
            }
            LinkNews::Nodes { home, nodes } => self.nodes_are(now, home, &nodes, out),
            LinkNews::Adapter { .. } | LinkNews::BridgeSynced { .. } | LinkNews::BridgeDown(_) => {}
        }
    }
}
