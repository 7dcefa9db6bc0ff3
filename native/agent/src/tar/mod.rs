//! The tar format as far as copies need it: ustar, with the PAX records and GNU long names that others write.

mod fields;
mod read;
mod write;

pub use read::{Entry, Kind, Reader, Source, TarError};
pub use write::{header, Meta, END};

/// Everything in an archive comes in blocks of so many bytes.
pub const BLOCK: usize = 512;

/// Bytes that fill the last block of `size` bytes.
pub fn padding(size: u64) -> usize {
    ((BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64) as usize
}
