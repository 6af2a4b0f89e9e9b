//! What reads share: a turn at the device, and buffers that are used again: a fresh one of a fragment's size costs as much for its
//! zeros and page faults as for what is read into it, while the one that came back last may still
//! be in the processor's cache.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::store::locked;

/// What is kept for the next reads, together.
const MAX_KEPT_BYTES: usize = 8 << 20;
/// Buffers are this long, or a multiple of it.
const GRAIN: usize = 64 << 10;

/// Reads of what is not in memory that the device has at once. A sync waits behind all that it was
/// given before, so readers of old data take turns, and producers never wait for more than these.
const DEVICE_READS: usize = 1;

/// The buffers that nobody uses.
#[derive(Debug)]
pub struct Buffers {
    free: Mutex<Free>,
    device: Arc<Semaphore>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self { free: Mutex::default(), device: Arc::new(Semaphore::new(DEVICE_READS)) }
    }
}

#[derive(Debug, Default)]
struct Free {
    /// In the order in which they came back.
    buffers: Vec<Box<[u8]>>,
    bytes: usize,
}

/// A buffer that goes back when it is dropped. Holds anything until it is read into.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    len: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of `len` bytes: the latest one that came back and is large enough.
    pub fn take(self: &Arc<Self>, len: usize) -> Buffer {
        let bytes = self.free().take(len);
        let bytes = bytes.unwrap_or_else(|| vec![0; len.next_multiple_of(GRAIN)].into());
        Buffer { bytes, len, home: self.clone() }
    }

    /// Waits for a turn at the device.
    pub async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        self.device.clone().acquire_owned().await.ok()
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        locked(&self.free)
    }
}

impl Free {
    fn take(&mut self, len: usize) -> Option<Box<[u8]>> {
        let at = self.buffers.iter().rposition(|buffer| buffer.len() >= len)?;
        let buffer = self.buffers.remove(at);
        self.bytes -= buffer.len();
        Some(buffer)
    }

    fn put(&mut self, buffer: Box<[u8]>) {
        if self.bytes + buffer.len() <= MAX_KEPT_BYTES {
            self.bytes += buffer.len();
            self.buffers.push(buffer);
        }
    }
}

impl Buffer {
    /// All of it, to read into.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// What was read. The buffer is used again when the last slice of it is gone.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.free().put(mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_with_the_last_slice_of_it() {
        let buffers = Arc::new(Buffers::default());
        let mut first = buffers.take(100);
        first.bytes_mut().fill(7);
        let bytes = first.freeze();
        let slice = bytes.slice(90..);
        drop(bytes);
        assert_eq!(buffers.free().bytes, 0, "a slice of it is still in use");
        assert_eq!(slice, [7; 10][..]);
        drop(slice);
        assert_eq!(buffers.free().bytes, GRAIN);
        assert_eq!(buffers.take(GRAIN).as_ref().len(), GRAIN, "the same one, longer");
        assert_eq!(buffers.free().buffers.len(), 1);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = Arc::new(Buffers::default());
        let taken: Vec<_> = (0..20).map(|_| buffers.take(1 << 20)).collect();
        drop(taken);
        drop(buffers.take(MAX_KEPT_BYTES + 1));
        assert_eq!(buffers.free().bytes, MAX_KEPT_BYTES);
    }
}
