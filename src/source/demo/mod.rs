//! A simulated building, on the same path as a real one: its radio gives advert bytes to the intake, its Z-Wave bridge speaks
//! zwave-js-server's protocol on a real socket. Same seed, same building.
//!
//! [`building`] decides who does what when (pure), [`devices`] turns that into bytes, [`bridge`] is the Z-Wave server,
//! [`lock`] a lock behind it.

pub mod bridge;
pub mod building;
pub mod devices;
pub mod lock;
mod nodes;

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough to throw dice with.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in 0..1.
    pub fn chance(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.chance()
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[(self.roll() % of.len() as u64) as usize]
    }
}
