//! The pure modules of the product, compiled by themselves: a fuzz build needs neither the server's
//! dependencies nor minutes.

#[path = "../../src/media/mod.rs"]
pub mod media;
#[path = "../../src/types/mod.rs"]
pub mod types;

pub mod wire;

/// Cuts `data` into pieces whose lengths follow from its bytes, so that a find repeats: many tiny
/// ones, some large.
pub fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    // FNV-1a over the data, then xorshift.
    let seed = data.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let (mut state, mut rest) = (seed | 1, data);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let most = if state & 7 == 0 { 8192 } else { 16 };
        let len = 1 + (state >> 8) as usize % most;
        let (piece, tail) = rest.split_at(len.min(rest.len()));
        rest = tail;
        Some(piece)
    })
}
