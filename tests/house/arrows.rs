//! Which file of a source tree needs which, read from its `use` declarations and paths.
//!
//! A name that a module only passes on (`pub use`) counts as an arrow to the file that defines it. Unit tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path from the root of the crate.
type Names = Vec<String>;

/// A source tree: its modules and what each file needs.
pub struct Tree {
    /// File of each module, inline ones too.
    modules: BTreeMap<Names, String>,
    /// What each module passes on: the name it gives (none for a glob) and the path it stands for.
    passed_on: BTreeMap<Names, Vec<(Option<String>, Names)>>,
    /// Paths that each file names.
    named: BTreeMap<String, BTreeSet<Names>>,
}

impl Tree {
    /// Reads all Rust files under a folder.
    pub fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        collect(folder, folder, &mut files);
        Self::new(files)
    }

    /// A tree of given files: their paths from the root and their texts.
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut tree = Self { modules: BTreeMap::new(), passed_on: BTreeMap::new(), named: BTreeMap::new() };
        let mut parsed = Vec::new();
        for (file, text) in files {
            let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("{file}: {e}"));
            let module = module_of(&file);
            let tokens: Vec<TokenTree> = tokens.into_iter().collect();
            tree.declare(&file, &module, &tokens);
            parsed.push((file, module, tokens));
        }
        for (file, module, tokens) in parsed {
            tree.named.entry(file.clone()).or_default();
            tree.walk(&file, &module, &tokens);
        }
        tree
    }

    /// Each file and the files it needs, with one path by which it names each.
    pub fn arrows(&self) -> BTreeMap<&str, BTreeMap<&str, String>> {
        let needs = |(file, paths): (&String, &BTreeSet<Names>)| {
            let mut found = BTreeMap::new();
            for path in paths {
                for target in self.files_of(path, 0).into_iter().filter(|t| t != file) {
                    found.entry(target).or_insert_with(|| path.join("::"));
                }
            }
            (file.as_str(), found)
        };
        self.named.iter().map(|entry| {
            let (file, found) = needs(entry);
            (file, found.into_iter().map(|(t, p)| (self.named.get_key_value(t).map_or("", |(k, _)| k.as_str()), p)).collect())
        }).collect()
    }
}
