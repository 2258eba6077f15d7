//! Memory for tests of what is read and written: it ends at once.

/// Numbers that end where a page does which nobody may touch.
pub struct Fenced {
    base: *mut libc::c_void,
    half: usize,
    len: usize,
}

impl Fenced {
    pub fn new(len: usize, number: impl FnMut(usize) -> f32) -> Self {
        // SAFETY: a mapping of our own, of which the second half is closed; the first holds the numbers, which are written at once.
        unsafe {
            let half = (4 * len).max(1).next_multiple_of(libc::sysconf(libc::_SC_PAGESIZE) as usize);
            let (open, own) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let base = libc::mmap(std::ptr::null_mut(), 2 * half, open, own, -1, 0);
            assert!(base != libc::MAP_FAILED && libc::mprotect(base.byte_add(half), half, libc::PROT_NONE) == 0);
            let fenced = Self { base, half, len };
            (0..len).map(number).enumerate().for_each(|(i, v)| fenced.start().add(i).write(v));
            fenced
        }
    }

    pub fn start(&self) -> *mut f32 {
        self.base.wrapping_byte_add(self.half - 4 * self.len).cast()
    }

    pub fn numbers(&self) -> &[f32] {
        // SAFETY: written when this was made.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }
}

impl Drop for Fenced {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's, and nothing borrows from it any more.
        unsafe { libc::munmap(self.base, 2 * self.half) };
    }
}
