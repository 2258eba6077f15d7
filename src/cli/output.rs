//! Where words go: results to stdout, progress to stderr.

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::common::Common;
use super::lines::Lines;
use crate::error::{Error, Result};

/// How the program speaks.
pub struct Output {
    json: bool,
    quiet: bool,
    live: bool,
    /// What results say, where they are not printed.
    heard: Option<RefCell<String>>,
}

impl Output {
    /// As the arguments ask.
    pub fn new(common: &Common) -> Self {
        if !common.ranks.is_first() {
            // The first rank speaks for all.
            return Self { json: false, quiet: true, live: false, heard: Some(RefCell::default()) };
        }
        let live = !common.quiet && std::io::stderr().is_terminal();
        Self { json: common.json, quiet: common.quiet, live, heard: None }
    }

    /// The same, whose results are kept and not printed, and which says nothing else but by bars.
    pub fn heard(&self) -> Self {
        Self { json: false, quiet: true, live: self.live, heard: Some(RefCell::default()) }
    }

    /// The words of the results so far, where they were kept.
    pub fn told(&self) -> String {
        self.heard.as_ref().map(|words| words.borrow().clone()).unwrap_or_default()
    }

    /// Prints a command's result: the object with `--json`, else the words.
    ///
    /// # Errors
    /// [`Error::Io`] where stdout is closed.
    pub fn result(&self, words: &str, json: &serde_json::Value) -> Result<()> {
        if let Some(heard) = &self.heard {
            heard.borrow_mut().push_str(words.trim_end());
            return Ok(());
        }
        let mut out = std::io::stdout().lock();
        let written = if self.json { writeln!(out, "{json}") } else { writeln!(out, "{}", words.trim_end()) };
        // Not only lines' ends reach the file: a full disk is noticed here.
        written.and_then(|()| out.flush()).map_err(|e| Error::io("standard output", e))
    }

    /// A sentence on stderr, where there is one to hear it: a closed terminal is no reason to lose a job.
    pub fn say(&self, words: &str) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr(), "{words}");
        }
    }

    /// Whether progress is shown as it happens.
    pub fn is_live(&self) -> bool {
        self.live
    }

    /// A progress bar of `total` units on stderr; where that is no terminal, a line every few seconds.
    pub fn bar(&self, total: u64, unit: &str) -> ProgressBar {
        let bar = self.live_bar(total, unit);
        if !self.live && !self.quiet {
            if let Ok(style) = ProgressStyle::with_template(&format!("{{pos}}/{{len}} {unit} {{elapsed}} of {{duration}} {{msg}}")) {
                bar.set_style(style);
            }
            bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(Lines::new()), 2));
        }
        bar
    }

    /// A progress bar of `total` units, drawn on stderr where that is a terminal.
    pub fn live_bar(&self, total: u64, unit: &str) -> ProgressBar {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if self.live {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        }
        // What does not fit a narrow terminal is cut off at its end.
        let template = format!("{{bar:16.cyan/dim}} {{pos}}/{{len}} {unit} {{elapsed}} of {{duration}} {{wide_msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        if self.live {
            bar.enable_steady_tick(Duration::from_millis(250));
        }
        bar
    }
}

/// A path as JSON holds it: what is no text in it stands as the sign for that.
pub fn as_text(path: &Path) -> String {
    path.display().to_string()
}

/// So many of a thing: "1 image", "3 images".
pub fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
