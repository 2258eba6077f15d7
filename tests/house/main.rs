//! The house stays in order: imports lead down the floors of `docs/architecture.md`, and no two files need each other.

mod arrows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrows::{Tree, circles, climbs, folder};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The floor of each folder, from the table in `docs/architecture.md`: rows of a number and names in backticks.
fn floors(text: &str) -> BTreeMap<String, u32> {
    let mut floors = BTreeMap::new();
    for row in text.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let Some(floor) = cells.get(1).and_then(|cell| cell.parse().ok()) else { continue };
        for name in cells[2].split('`').skip(1).step_by(2) {
            floors.insert(name.trim_end_matches('/').to_string(), floor);
        }
    }
    floors
}

#[test]
fn imports_lead_down() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).expect("the note");
    let floors = floors(&text);
    let tree = Tree::read(&root().join("src"));
    let arrows = tree.arrows();
    let folders: BTreeSet<&str> = arrows.keys().map(|file| folder(file)).filter(|name| !["lib", "main"].contains(name)).collect();
    let shown: BTreeSet<&str> = floors.keys().map(String::as_str).collect();
    assert_eq!(folders, shown, "docs/architecture.md gives every folder of src a floor");
    // Enough to know that the tree was read at all.
    assert!(arrows.values().map(BTreeMap::len).sum::<usize>() > 300, "too few arrows were found");
    let climbing = climbs(&arrows, &floors);
    assert!(climbing.is_empty(), "imports that do not lead down:\n{}", climbing.join("\n"));
}

#[test]
fn no_two_files_need_each_other() {
    let tree = Tree::read(&root().join("src"));
    let found: Vec<String> = circles(&tree.arrows()).iter().map(|circle| circle.join("\n")).collect();
    assert!(found.is_empty(), "files that need each other:\n\n{}", found.join("\n\n"));
}

/// Made-up files, on floors 1 (`low`), 2 (`left`, `right`) and 3 (`top`).
fn made_up(files: &[(&str, &str)]) -> (Vec<String>, Vec<Vec<String>>) {
    let tree = Tree::new(files.iter().map(|(name, text)| (name.to_string(), text.to_string())));
    let floors = [("low", 1), ("left", 2), ("right", 2), ("top", 3)].map(|(name, floor)| (name.to_string(), floor));
    let arrows = tree.arrows();
    (climbs(&arrows, &floors.into()), circles(&arrows))
}

#[test]
fn an_arrow_that_climbs_is_found_however_it_is_written() {
    let library = ("lib.rs", "pub mod low; pub mod left; pub mod right; pub mod top;");
    let rest = [
        ("left.rs", "pub struct Left;"),
        ("right/mod.rs", "pub mod deep; pub use deep::Deep;"),
        ("right/deep.rs", "pub struct Deep;"),
        ("top.rs", "use crate::left::Left; use crate::right::{self, Deep};"),
    ];
    for climbing in [
        "use crate::left::Left;",
        "use crate::{top, left::{Left as L}};",
        "use super::left::*;",
        "fn f() -> u8 { let x = [crate::left::Left]; 0 }",
        "mod inner { use super::super::left::Left; }",
        "pub use crate::left;",
        "use crate::right::Deep;",
    ] {
        let files = [&[library, ("low.rs", climbing)][..], &rest].concat();
        assert!(!made_up(&files).0.is_empty(), "{climbing}");
    }
    for level in [
        "",
        "use std::fmt; // crate::left",
        "/// [`crate::left::Left`]\nfn f() { \"crate::left\"; }",
        "#[cfg(test)] mod tests { use crate::top; }",
    ] {
        let files = [&[library, ("low.rs", level)][..], &rest].concat();
        assert_eq!(made_up(&files).0, Vec::<String>::new(), "{level}");
    }
    let beside = [library, ("low.rs", ""), ("left.rs", "use crate::right::Deep;"), rest[1], rest[2], ("top.rs", "")];
    assert_eq!(made_up(&beside).0, ["left.rs names right::Deep: left does not stand above right"]);
}

#[test]
fn files_that_need_each_other_are_found_however_far_around() {
    let files = |deep: &'static str, other: &'static str, far: &'static str| {
        [
            ("lib.rs", "pub mod low;"),
            ("low/mod.rs", "mod deep; mod other; mod far; pub use other::Other; pub struct Shared;"),
            ("low/deep.rs", deep),
            ("low/other.rs", other),
            ("low/far.rs", far),
        ]
    };
    let found = |files: &[(&str, &str)]| made_up(files).1;
    // Through the name that the folder passes on.
    let pair = found(&files("pub struct Deep; use super::Other;", "pub struct Other; use super::deep::Deep;", ""));
    assert_eq!(pair, [["low/deep.rs needs low/other.rs (low::Other)", "low/other.rs needs low/deep.rs (low::deep::Deep)"]]);
    let ring = found(&files("use super::other;", "use super::far;", "fn f() { super::deep::g() }"));
    assert_eq!(ring[0].len(), 3);
    // A folder and its own files share what the folder defines.
    assert!(found(&files("use super::{Shared, Other};", "use super::Shared;", "use super::{deep, other};")).is_empty());
}

/// Paths in backticks or links that a page names: those of this repository, without what stands for a name of one's own.
fn named_paths(page: &str) -> Vec<&str> {
    let quoted = page.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
    let linked = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let ours = |path: &&str| {
        let first = path.split('/').next().unwrap_or_default();
        let folder = ["src", "shaders", "tests", "docs", "scripts", "examples", "benches", ".ci"].contains(&first) && path.contains('/');
        (folder || path.ends_with(".toml") || path.ends_with(".md")) && !path.contains("NAME") && !path.contains("://")
    };
    quoted.chain(linked).filter(ours).collect()
}

/// Whether there is such a file or folder, or with a star in its name at least one.
fn is_there(path: &str) -> bool {
    let Some((start, end)) = path.split_once('*') else { return root().join(path).exists() };
    let (folder, start) = start.rsplit_once('/').unwrap_or(("", start));
    let mut names = std::fs::read_dir(root().join(folder)).into_iter().flatten().flatten().map(|e| e.file_name().into_string());
    names.any(|name| name.is_ok_and(|name| name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)))
}

#[test]
fn every_file_that_the_pages_name_is_there() {
    assert!(is_there("shaders/conv*.wgsl") && !is_there("shaders/gone*.wgsl") && !is_there("gone/*") && !is_there("src/gone.rs"));
    assert_eq!(named_paths("see `src/gone.rs`, [a](docs/page.md), `shaders/NAME.wgsl` and `a::b`"), ["src/gone.rs", "docs/page.md"]);
    for page in ["CONTRIBUTING.md", "docs/architecture.md"] {
        let text = std::fs::read_to_string(root().join(page)).expect("a page");
        let paths = named_paths(&text);
        assert!(!paths.is_empty(), "{page} names no file");
        for path in paths {
            assert!(is_there(path), "{page} names {path}, which is not there");
        }
    }
}
