//! Which file of a source tree needs which, read from its `use` declarations and paths.
//!
//! A name that a module only passes on (`pub use`) counts as an arrow to the file that defines it. Unit tests are left out: they may look
//! at a file from above.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A path from the root of the crate.
type Names = Vec<String>;

/// A source tree: its modules and what each file names.
#[derive(Default)]
pub struct Tree {
    /// The file of each module, inline ones too.
    modules: BTreeMap<Names, String>,
    /// What each module passes on: the name it gives (none for all names) and the path it stands for.
    passed_on: BTreeMap<Names, Vec<(Option<String>, Names)>>,
    /// Paths that each file names.
    named: BTreeMap<String, BTreeSet<Names>>,
}

impl Tree {
    /// Reads all Rust files under a folder.
    pub fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        collect(folder, "", &mut files);
        Self::new(files)
    }

    /// A tree of given files: their paths from the root and their texts.
    pub fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut tree = Self::default();
        let mut parsed = BTreeMap::new();
        for (file, text) in files {
            let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("{file} is no Rust: {e}"));
            tree.modules.insert(module_of(&file), file.clone());
            parsed.insert(module_of(&file), (file, tokens));
        }
        let tests: Vec<Names> = parsed.iter().flat_map(|(module, (_, tokens))| test_modules(module, tokens.clone())).collect();
        parsed.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
        tree.modules.retain(|module, _| parsed.contains_key(module));
        for (module, (_, tokens)) in &parsed {
            tree.declare(module, tokens.clone());
        }
        for (module, (file, tokens)) in parsed {
            tree.named.insert(file.clone(), BTreeSet::new());
            tree.walk(&file, &module, tokens);
        }
        tree
    }

    /// Each file and the files it needs, each with one path by which it names it.
    pub fn arrows(&self) -> BTreeMap<&str, BTreeMap<&str, String>> {
        let mut arrows = BTreeMap::new();
        for (file, paths) in &self.named {
            let needs: &mut BTreeMap<&str, String> = arrows.entry(file.as_str()).or_default();
            for path in paths {
                for target in self.files_of(path, 0).into_iter().filter(|target| target != file) {
                    needs.entry(target).or_insert_with(|| path.join("::"));
                }
            }
        }
        arrows
    }

    /// Finds a file's inline modules.
    fn declare(&mut self, module: &[String], tokens: TokenStream) {
        let file = self.modules[module].clone();
        for (name, body) in inline_modules(tokens) {
            let inner: Names = module.iter().cloned().chain([name]).collect();
            self.modules.insert(inner.clone(), file.clone());
            self.declare(&inner, body.stream());
        }
    }

    /// Notes what a stretch of a module names.
    fn walk(&mut self, file: &str, module: &[String], tokens: TokenStream) {
        let tokens = without_tests(tokens);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Ident(word) if word == "use" => {
                    let end = (at..tokens.len()).find(|&i| is(&tokens[i], ';')).unwrap_or(tokens.len());
                    let public = at > 0 && (ident(&tokens[at - 1]) == Some("pub") || matches!(&tokens[at - 1], TokenTree::Group(_)));
                    for (alias, path) in leaves(&tokens[at + 1..end]) {
                        let Some(path) = self.absolute(module, &path) else { continue };
                        if public {
                            self.passed_on.entry(module.to_vec()).or_default().push((alias, path.clone()));
                        }
                        self.note(file, path);
                    }
                    at = end;
                }
                TokenTree::Ident(word) if word == "mod" => {
                    let inner: Names = module.iter().cloned().chain(tokens.get(at + 1).and_then(ident).map(String::from)).collect();
                    if let Some(TokenTree::Group(body)) = tokens.get(at + 2) {
                        self.walk(file, &inner, body.stream());
                    }
                    at += 2;
                }
                TokenTree::Ident(word) if ["crate", "super", "self"].contains(&word.to_string().as_str()) => {
                    let (path, end) = straight(&tokens, at);
                    if path.len() > 1
                        && let Some(path) = self.absolute(module, &path)
                    {
                        self.note(file, path);
                    }
                    at = end;
                    continue;
                }
                TokenTree::Group(group) => self.walk(file, module, group.stream()),
                _ => {}
            }
            at += 1;
        }
    }

    fn note(&mut self, file: &str, path: Names) {
        self.named.entry(file.to_string()).or_default().insert(path);
    }

    /// A path from the root; `None` for other crates.
    fn absolute(&self, module: &[String], path: &[String]) -> Option<Names> {
        let (mut base, mut rest) = match path[0].as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (module.to_vec(), &path[1..]),
            "super" => (module.to_vec(), path),
            child => {
                let inner: Names = module.iter().cloned().chain([child.to_string()]).collect();
                if !self.modules.contains_key(&inner) {
                    return None;
                }
                (module.to_vec(), path)
            }
        };
        while rest.first().is_some_and(|word| word == "super") {
            base.pop();
            rest = &rest[1..];
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// The files that define what a path names.
    fn files_of(&self, path: &[String], depth: usize) -> Vec<&str> {
        let Some(length) = (0..=path.len()).rev().find(|&n| self.modules.contains_key(&path[..n])) else { return Vec::new() };
        let (module, rest) = path.split_at(length);
        // Modules that pass names on to each other in a circle do not compile.
        let found: Vec<&str> = match rest.first() {
            Some(name) if name != "*" && depth < 16 => {
                let passed = self.passed_on.get(module).into_iter().flatten();
                passed
                    .filter_map(|(alias, target)| match alias {
                        Some(alias) if alias == name => Some(target.clone()),
                        Some(_) => None,
                        None => Some([&target[..target.len() - 1], std::slice::from_ref(name)].concat()),
                    })
                    .flat_map(|target| self.files_of(&[&target[..], &rest[1..]].concat(), depth + 1))
                    .collect()
            }
            _ => Vec::new(),
        };
        if found.is_empty() { self.modules.get(module).map(String::as_str).into_iter().collect() } else { found }
    }
}

/// Files that need each other, directly or in a circle: each circle's arrows in words. A module and the files of its own folder are not
/// counted: it declares them, and they share what it defines.
pub fn circles(arrows: &BTreeMap<&str, BTreeMap<&str, String>>) -> Vec<Vec<String>> {
    let family = |a: &str, b: &str| {
        let inside = |a: &str, b: &str| a.strip_suffix("mod.rs").is_some_and(|folder| b.starts_with(folder)) || a == "lib.rs";
        inside(a, b) || inside(b, a)
    };
    let next = |file: &str| -> Vec<&str> {
        arrows.get(file).into_iter().flat_map(|to| to.keys().copied()).filter(|to| !family(file, to)).collect()
    };
    let reach = |from: &str| -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut todo = next(from);
        while let Some(file) = todo.pop() {
            if seen.insert(file) {
                todo.extend(next(file));
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|&file| (file, reach(file))).collect();
    let together = |a: &str, b: &str| reached[a].contains(b) && reached.get(b).is_some_and(|r| r.contains(a));
    let mut circles = Vec::new();
    let mut told = BTreeSet::new();
    for (&file, seen) in &reached {
        if !seen.contains(file) || told.contains(file) {
            continue;
        }
        let ring: BTreeSet<&str> = seen.iter().copied().filter(|&other| together(file, other)).collect();
        told.extend(ring.iter().copied());
        let within = |from: &str| -> Vec<String> {
            let needs = arrows[from].iter().filter(|(to, _)| ring.contains(*to) && !family(from, to));
            needs.map(|(to, path)| format!("{from} needs {to} ({path})")).collect()
        };
        circles.push(ring.iter().flat_map(|from| within(from)).collect());
    }
    circles
}

/// Arrows that do not lead down: `floors` gives each folder (or file at the root, without its ending) its floor.
pub fn climbs(arrows: &BTreeMap<&str, BTreeMap<&str, String>>, floors: &BTreeMap<String, u32>) -> Vec<String> {
    let mut found = Vec::new();
    for (from, to, path) in arrows.iter().flat_map(|(from, needs)| needs.iter().map(move |(to, path)| (from, to, path))) {
        let (a, b) = (folder(from), folder(to));
        if a == b || a == "main" || a == "lib" {
            continue;
        }
        match (floors.get(a), floors.get(b)) {
            (Some(a), Some(b)) if a > b => {}
            (Some(_), Some(_)) => found.push(format!("{from} names {path}: {a} does not stand above {b}")),
            _ => found.push(format!("{from} names {path}: {a} or {b} has no floor")),
        }
    }
    found
}

/// The folder a file lies in, or its own name at the root.
pub fn folder(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry")) {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else if name.ends_with(".rs") {
            files.push((name, std::fs::read_to_string(entry.path()).expect("text")));
        }
    }
}

/// `a/mod.rs` and `a.rs` are `a`; `lib.rs` is the root, and so is `main.rs` of its own crate.
fn module_of(file: &str) -> Names {
    let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { Vec::new() } else { path.split('/').map(String::from).collect() }
}

fn ident(token: &TokenTree) -> Option<&'static str> {
    // Only the words this reader knows are looked for by text elsewhere.
    match token {
        TokenTree::Ident(word) => Some(word.to_string().leak()),
        _ => None,
    }
}

fn is(token: &TokenTree, punct: char) -> bool {
    matches!(token, TokenTree::Punct(p) if p.as_char() == punct)
}

/// The tokens without items under `#[cfg(test)]`.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_test(&tokens, at) {
            // To the end of the item: a semicolon or a body in braces.
            at += 2;
            while at < tokens.len()
                && !is(&tokens[at], ';')
                && !matches!(&tokens[at], TokenTree::Group(g) if g.delimiter() == Delimiter::Brace)
            {
                at += 1;
            }
        } else {
            kept.push(tokens[at].clone());
        }
        at += 1;
    }
    kept
}

fn is_test(tokens: &[TokenTree], at: usize) -> bool {
    is(&tokens[at], '#')
        && matches!(tokens.get(at + 1), Some(TokenTree::Group(g)) if g.stream().to_string().replace(' ', "") == "cfg(test)")
}

/// Modules of their own files that are declared for tests alone.
fn test_modules(module: &[String], tokens: TokenStream) -> Vec<Names> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let declared = |at: usize| -> Option<Names> {
        let words =
            tokens[at + 2..].iter().take_while(|t| !is(t, ';') && !matches!(t, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace));
        let words: Vec<&str> = words.filter_map(ident).collect();
        let name = words.iter().position(|w| *w == "mod").and_then(|p| words.get(p + 1))?;
        Some(module.iter().cloned().chain([name.to_string()]).collect())
    };
    (0..tokens.len()).filter(|&at| is_test(&tokens, at)).filter_map(declared).collect()
}

fn inline_modules(tokens: TokenStream) -> Vec<(String, Group)> {
    let tokens = without_tests(tokens);
    let found = tokens.windows(3).filter_map(|w| match w {
        [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body)] if word == "mod" => Some((name.to_string(), body.clone())),
        _ => None,
    });
    found.collect()
}

/// A path without braces, and where it ends.
fn straight(tokens: &[TokenTree], mut at: usize) -> (Names, usize) {
    let mut path = Vec::new();
    while let Some(word) = tokens.get(at).and_then(ident) {
        path.push(word.to_string());
        at += 1;
        let more = tokens.get(at).is_some_and(|t| is(t, ':')) && tokens.get(at + 1).is_some_and(|t| is(t, ':'));
        if !more || tokens.get(at + 2).and_then(ident).is_none() {
            break;
        }
        at += 2;
    }
    (path, at)
}

/// Every path of a `use` tree, with the name it gets (none for all names).
fn leaves(tokens: &[TokenTree]) -> Vec<(Option<String>, Names)> {
    let mut prefix: Names = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(word) if word == "as" => {
                let alias = tokens.get(at + 1).and_then(ident).map(String::from);
                return vec![(alias, prefix)];
            }
            TokenTree::Ident(word) => prefix.push(word.to_string()),
            TokenTree::Group(group) => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let parts = inner.split(|t| is(t, ',')).filter(|part| !part.is_empty());
                let whole = |(alias, rest): (Option<String>, Names)| {
                    // `{self}` stands for what is before the braces.
                    let rest = if rest == ["self"] { Vec::new() } else { rest };
                    let path: Names = prefix.iter().cloned().chain(rest).collect();
                    let alias = alias.map(|a| if a == "self" { path.last().cloned().unwrap_or(a) } else { a });
                    (alias, path)
                };
                return parts.flat_map(leaves).map(whole).collect();
            }
            token if is(token, '*') => {
                prefix.push("*".into());
                return vec![(None, prefix)];
            }
            _ => {}
        }
        at += 1;
    }
    match prefix.last().cloned() {
        Some(last) => vec![(Some(last), prefix)],
        None => Vec::new(),
    }
}
