//! Freshness: is this advert new, a repeat of what was just said, or an old one that somebody plays again?
//!
//! Two rules, for the two kinds of numbers that adverts carry. [`Counter`] guards authenticated counters and is strict; a
//! [`PacketIds`] is only there against duplicates, anybody can forge it.
//!
//! A counter only goes up. What is below the last one accepted is refused, with one way back: a device that lost its power
//! starts to count anew, so after [`RESET_PROOF`] frames, each above the one before and with none from the old count in
//! between, the new count is taken. A recording can be played that way only while the true device is silent for all of it.

use std::time::Duration;

use super::Reject;
use crate::time::Mono;

/// How long an advert that comes again is the same one on the air and not news (bthome-ble's window, which devices are tested
/// against).
pub const REBROADCAST: Duration = Duration::from_secs(4);

/// Frames with a rising counter that prove a reset count. Fewer would let a short recording through; more would keep a door
/// sensor mute for a day after its battery was changed.
pub const RESET_PROOF: u8 = 5;

/// Accepted frames that are known again when they come late, because a second adapter or a queue held them back.
const RECENT: usize = 4;

/// The gate for a counter that is authenticated and may only go up.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    last: Option<u32>,
    /// Fingerprint of the frame that had `last`, and when it was heard. None when `last` comes from the disk.
    frame: Option<(u64, Mono)>,
    /// Fingerprints of the frames before it.
    recent: [u64; RECENT],
    /// A count that may have started anew: its last counter, and how many rising ones it had.
    restarted: Option<(u32, u8)>,
}

impl Counter {
    pub fn starting_at(last: Option<u32>) -> Counter {
        Counter { last, ..Counter::default() }
    }

    /// Judges an authentic frame. `Ok` means: believe it.
    pub fn admit(&mut self, counter: u32, fingerprint: u64, at: Mono) -> Result<(), Reject> {
        let Some(last) = self.last else { return self.take(counter, fingerprint, at) };
        if counter > last {
            return self.take(counter, fingerprint, at);
        }
        match self.frame {
            Some((known, heard)) if known == fingerprint => {
                if at.since(heard) > REBROADCAST {
                    return Err(Reject::IdenticalRepeat);
                }
                self.frame = Some((known, at));
                Ok(())
            }
            _ if self.recent.contains(&fingerprint) => Err(Reject::IdenticalRepeat),
            Some(_) if counter == last => Err(Reject::CounterReused),
            // After a restart the bytes are not known any more; what the frame said, the hub has stored.
            None if counter == last => Err(Reject::IdenticalRepeat),
            _ => self.restart(counter, fingerprint, at),
        }
    }

    fn take(&mut self, counter: u32, fingerprint: u64, at: Mono) -> Result<(), Reject> {
        if let Some((known, _)) = self.frame {
            self.recent.rotate_right(1);
            self.recent[0] = known;
        }
        self.last = Some(counter);
        self.frame = Some((fingerprint, at));
        self.restarted = None;
        Ok(())
    }

    fn restart(&mut self, counter: u32, fingerprint: u64, at: Mono) -> Result<(), Reject> {
        let rising = match self.restarted {
            Some((before, rising)) if counter > before => rising + 1,
            Some((before, rising)) if counter == before => rising,
            _ => 1,
        };
        self.restarted = Some((counter, rising));
        if rising < RESET_PROOF {
            return Err(Reject::Replay);
        }
        self.take(counter, fingerprint, at)
    }
}

/// The filter for packet ids: eight bits, in the clear or not, that differ from packet to packet (BTHome).
#[derive(Clone, Debug, Default)]
pub struct PacketIds {
    last: Option<(u8, Mono)>,
}

impl PacketIds {
    /// Half of the circle would be the natural bound for "after"; a quarter leaves room for what was lost, at up to 16 packets a
    /// second within [`REBROADCAST`].
    const AHEAD: u8 = 63;

    /// Whether a packet is new. Soon after the last one, only ids ahead of it are; later any may be, as a device may have sent a
    /// full round that nobody heard, or started anew.
    pub fn admit(&mut self, id: u8, at: Mono) -> Result<(), Reject> {
        if let Some((last, heard)) = self.last
            && at.since(heard) <= REBROADCAST
            && !(1..=Self::AHEAD).contains(&id.wrapping_sub(last))
        {
            return Err(Reject::DuplicatePacketId);
        }
        self.last = Some((id, at));
        Ok(())
    }
}

/// A fingerprint of a frame, to know it again (FNV-1a, 64 bits). Not against forgery: frames that a counter guards are
/// authenticated, and for others it only tells repeats.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Fingerprint {
        Fingerprint(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    pub fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

pub fn fingerprint(bytes: &[u8]) -> u64 {
    let mut all = Fingerprint::default();
    all.add(bytes);
    all.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Mono {
        Mono(seconds * 1000)
    }

    #[test]
    fn a_counter_only_goes_up() {
        let mut counter = Counter::default();
        assert_eq!(counter.admit(1000, 1, s(0)), Ok(()));
        assert_eq!(counter.admit(1002, 2, s(10)), Ok(()));
        assert_eq!(counter.admit(1001, 3, s(20)), Err(Reject::Replay));
        assert_eq!(counter.admit(5, 4, s(30)), Err(Reject::Replay));
        assert_eq!(counter.admit(1003, 5, s(40)), Ok(()));
    }

    #[test]
    fn a_rebroadcast_is_known_and_another_frame_of_the_same_count_is_an_attack() {
        let mut counter = Counter::default();
        assert_eq!(counter.admit(7, 1, s(0)), Ok(()));
        assert_eq!(counter.admit(7, 1, s(2)), Ok(()));
        assert_eq!(counter.admit(7, 9, s(3)), Err(Reject::CounterReused));
        assert_eq!(counter.admit(7, 1, s(30)), Err(Reject::IdenticalRepeat));
    }

    #[test]
    fn a_frame_that_another_adapter_delivers_late_is_a_repeat_and_no_replay() {
        let mut counter = Counter::default();
        assert_eq!(counter.admit(7, 1, s(0)), Ok(()));
        assert_eq!(counter.admit(8, 2, s(0)), Ok(()));
        assert_eq!(counter.admit(7, 1, s(0)), Err(Reject::IdenticalRepeat));
    }

    #[test]
    fn a_restart_does_not_reopen_the_replay_window() {
        let mut counter = Counter::starting_at(Some(500));
        assert_eq!(counter.admit(499, 1, s(0)), Err(Reject::Replay));
        assert_eq!(counter.admit(500, 2, s(0)), Err(Reject::IdenticalRepeat));
        assert_eq!(counter.admit(501, 3, s(0)), Ok(()));
    }

    #[test]
    fn a_device_that_lost_its_power_comes_back_after_a_few_frames() {
        let mut counter = Counter::starting_at(Some(90_000));
        let came_back = (0..10).position(|n| counter.admit(n, u64::from(n) + 1, s(u64::from(n) * 60)).is_ok());
        assert_eq!(came_back, Some(usize::from(RESET_PROOF) - 1));
        assert_eq!(counter.admit(90_001, 99, s(900)), Ok(()), "a count that goes up is never refused");
    }

    #[test]
    fn a_recording_is_not_taken_for_a_reset_while_the_device_lives() {
        let mut counter = Counter::starting_at(Some(1000));
        for n in 0..100u32 {
            assert_eq!(counter.admit(n, u64::from(n) + 1, s(0)), Err(Reject::Replay));
            if n % 3 == 0 {
                assert_eq!(counter.admit(1001 + n, 1 << 40 | u64::from(n), s(0)), Ok(()));
            }
        }
    }

    #[test]
    fn one_frame_over_and_over_proves_no_reset() {
        let mut counter = Counter::starting_at(Some(1000));
        for _ in 0..100 {
            assert_eq!(counter.admit(3, 3, s(0)), Err(Reject::Replay));
        }
    }

    #[test]
    fn a_packet_id_is_heard_once_and_may_wrap() {
        let mut ids = PacketIds::default();
        assert_eq!(ids.admit(250, s(0)), Ok(()));
        assert_eq!(ids.admit(250, s(1)), Err(Reject::DuplicatePacketId));
        assert_eq!(ids.admit(249, s(1)), Err(Reject::DuplicatePacketId));
        assert_eq!(ids.admit(2, s(2)), Ok(()));
        assert_eq!(ids.admit(66, s(3)), Err(Reject::DuplicatePacketId));
        assert_eq!(ids.admit(2, s(7)), Ok(()));
    }
}
