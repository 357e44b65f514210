//! Reads ahead, off the async threads, so that nobody who is told events waits for the disk.

use std::collections::VecDeque;
use std::future::pending;

use tokio::task::JoinHandle;

use crate::store::StoreError;

type Page<T> = Result<Vec<T>, StoreError>;

/// A numbered sequence that is read page by page.
pub struct Feed<T> {
    ahead: VecDeque<T>,
    reading: Option<JoinHandle<Page<T>>>,
    /// The number of the last one read.
    read: u64,
    /// How far the page that is being read may go.
    asked: u64,
    number: fn(&T) -> u64,
    /// A new page is read when fewer are left.
    low: usize,
}

impl<T: Send + 'static> Feed<T> {
    pub fn new(after: u64, low: usize, number: fn(&T) -> u64) -> Feed<T> {
        Feed { ahead: VecDeque::new(), reading: None, read: after, asked: after, number, low }
    }

    /// Whether there is more up to `head`, and little is left.
    pub fn wants(&self, head: u64) -> bool {
        self.reading.is_none() && self.ahead.len() < self.low && self.read < head
    }

    /// Starts to read on; `page` is given the number after which to read.
    pub fn read(&mut self, head: u64, page: impl FnOnce(u64) -> Page<T> + Send + 'static) {
        let after = self.read;
        self.asked = head;
        self.reading = Some(tokio::task::spawn_blocking(move || page(after)));
    }

    /// Takes what needs not be read: what comes right after all that was.
    pub fn take(&mut self, page: impl Iterator<Item = T>) {
        self.ahead.extend(page);
        self.read = self.ahead.back().map_or(self.read, self.number);
    }

    /// The number of the last one read.
    pub fn read_up_to(&self) -> u64 {
        self.read
    }

    /// Ready when a page has come in; never, where none is being read. Safe to cancel.
    pub async fn page(&mut self) -> Result<(), StoreError> {
        let Some(reading) = &mut self.reading else { return pending().await };
        let page = reading.await;
        self.reading = None;
        let page = page.map_err(|_| StoreError::Stopped)??;
        // An empty page: what lay there is damaged, or went.
        self.read = page.last().map_or(self.asked, self.number);
        self.ahead.extend(page);
        Ok(())
    }

    pub fn next(&mut self) -> Option<T> {
        self.ahead.pop_front()
    }

    /// Whether everything up to `head` was read and handed out.
    pub fn has_read(&self, head: u64) -> bool {
        self.ahead.is_empty() && self.reading.is_none() && self.read >= head
    }

    /// Starts anew after `read`; a page that is still being read is dropped.
    pub fn rewind(&mut self, read: u64) {
        self.ahead.clear();
        self.reading = None;
        self.read = read;
    }
}
