//! Access codes: what is wanted of each lock's table of codes, and what the lock reports of it.

mod draft;

pub use draft::CodeDraft;
