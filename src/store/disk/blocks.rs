//! Memory that a device can take from without a copy in between.

/// Bytes of a block: what such memory, its place in a file, and its length are multiples of.
pub const BLOCK_BYTES: usize = 4096;

/// A buffer of whole blocks, at an address that is a multiple of a block's size.
#[derive(Debug)]
pub struct Blocks {
    /// Larger by a block than what is used of it.
    memory: Vec<u8>,
    /// Where the first whole block begins.
    start: usize,
    len: usize,
}

impl Blocks {
    /// Zeros, for as many whole blocks as `capacity` bytes take; all of them in use.
    pub fn zeroed(capacity: usize) -> Self {
        let len = capacity.next_multiple_of(BLOCK_BYTES);
        let memory = vec![0; len + BLOCK_BYTES];
        let start = memory.as_ptr().align_offset(BLOCK_BYTES);
        Self { memory, start, len }
    }

    /// Uses the first blocks that hold `len` bytes.
    ///
    /// # Panics
    /// If the capacity is less.
    pub fn resize(&mut self, len: usize) {
        let len = len.next_multiple_of(BLOCK_BYTES);
        assert!(len <= self.capacity(), "within the capacity");
        self.len = len;
    }

    /// The most that fits.
    pub fn capacity(&self) -> usize {
        self.memory.len() - BLOCK_BYTES
    }

    /// What is in use.
    pub fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }

    /// What is in use.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}
