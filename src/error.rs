//! Every way a kiln call can fail, each as one sentence that names the thing and the way out.

use std::path::PathBuf;

/// Result of a fallible kiln call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller asked for something that does not exist or does not fit together (exit code 2).
    #[error("{0}")]
    Usage(String),
    /// A file or folder could not be read or written.
    #[error("{path}: {source}; {}", way_out(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file's contents are not what its reader expects.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// Tensor shapes that an operation cannot take.
    #[error("shapes do not fit: {0}")]
    Shape(String),
    /// A gradient that does not exist.
    #[error("no gradient: {0}")]
    Gradient(String),
    /// No adapter, a lost device, or a job too large for it.
    #[error("{0}")]
    Device(String),
    /// Training cannot go on.
    #[error("{0}")]
    Training(String),
    /// A job ended because it was asked to, after it had saved what it did (exit code 130).
    #[error("stopped as asked; what was done is saved")]
    Interrupted,
}

/// What to do about what the system said.
fn way_out(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "name a file or folder that exists",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "take a place you may use, or change its permissions",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "nothing was replaced; make room, or take a place that has some"
        }
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => {
            "a file stands where a folder is meant, or a folder where a file is; name another place"
        }
        _ => "try again, or take another place",
    }
}

/// The same on one line, whatever names a spoiled file brought into it.
fn one_line(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

impl Error {
    /// An [`Error::Usage`] from a sentence, which may quote what a file holds.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(one_line(sentence.into()))
    }

    /// An [`Error::Io`] at a path.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// An [`Error::Format`] at a path.
    pub fn format(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Format { path: path.into(), reason: one_line(reason.into()) }
    }

    /// The process exit code: 2 for bad arguments, 130 for a job that was stopped, 1 for one that failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Interrupted => 130,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sentence_quotes_does_not_break_its_line() {
        let said = Error::usage("column count holds `17 \n2020`, which is no number").to_string();
        assert_eq!(said, "column count holds `17 \\n2020`, which is no number");
    }
}
