//! Progress where there is no terminal: a line now and then in place of a bar.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::TermLike;

/// Least time between two lines, and before the first: what is done sooner says nothing.
const EVERY: Duration = Duration::from_secs(5);

/// Standard error as a bar sees it.
#[derive(Debug)]
pub struct Lines {
    last: Mutex<Instant>,
}

impl Lines {
    /// Lines from now on.
    pub fn new() -> Self {
        Self { last: Mutex::new(Instant::now()) }
    }

    fn line(&self, words: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !words.trim().is_empty() && last.elapsed() >= EVERY {
            *last = Instant::now();
            // Whoever listened may be gone; the job goes on.
            let _ = writeln!(io::stderr(), "{}", words.trim_end());
        }
    }
}

impl TermLike for Lines {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, words: &str) -> io::Result<()> {
        self.line(words);
        Ok(())
    }

    fn write_str(&self, words: &str) -> io::Result<()> {
        self.line(words);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
