//! What `ps` shows: the kernel reads a command line from where the start of the program has put it.

use std::ffi::{c_char, c_int, CStr};

/// The room that the arguments take. The driver starts the zygote with more than any VMM will have.
pub struct Title {
    begin: *mut u8,
    bytes: usize,
}

impl Title {
    /// # Safety
    ///
    /// `argv` is what `main` was called with.
    pub unsafe fn of(argc: c_int, argv: *mut *mut c_char) -> Title {
        let begin = *argv;
        let mut end = begin;
        for index in 0..argc as usize {
            let argument = *argv.add(index);
            // They follow each other, each with its NUL.
            if argument != end {
                break;
            }
            end = argument.add(CStr::from_ptr(argument).count_bytes() + 1);
        }
        Title {
            begin: begin.cast(),
            bytes: end.offset_from(begin) as usize,
        }
    }

    /// What does not fit is cut off. The last byte stays a NUL: else the kernel would read on into the environment.
    pub fn set<'a>(&self, arguments: impl Iterator<Item = &'a CStr>) {
        let text: Vec<u8> = arguments
            .flat_map(CStr::to_bytes_with_nul)
            .copied()
            .collect();
        let shown = text.len().min(self.bytes.saturating_sub(1));
        // SAFETY: the room is the process's own and nobody else looks at it; `main` is given copies.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), self.begin, shown);
            std::ptr::write_bytes(self.begin.add(shown), 0, self.bytes - shown);
        }
    }
}
