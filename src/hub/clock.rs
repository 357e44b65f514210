//! The hub's own date: the wall clock as far as it can be believed.

use crate::time::{Now, Wall};

#[derive(Debug, Default)]
pub struct Clock {
    /// The youngest `created_at`: none is ever older than the one before it.
    last_created: Wall,
}

impl Clock {
    pub fn new(last_created: Wall) -> Clock {
        Clock { last_created }
    }

    /// `now` with the date that the hub believes.
    pub fn date(&mut self, now: Now) -> Now {
        now
    }

    /// The `created_at` of an event that is made at `wall`.
    pub fn created_at(&mut self, wall: Wall) -> Wall {
        self.last_created = self.last_created.max(wall);
        self.last_created
    }
}
