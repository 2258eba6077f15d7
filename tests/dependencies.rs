//! What the program is linked with keeps to `deny.toml`: licences, sources, one version of each.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Packages that the program needs to be built, on any system: name, version, licence, source.
fn packages() -> Vec<[String; 4]> {
    let mut command = Command::new(env!("CARGO"));
    let output = command.args(["metadata", "--locked", "--format-version", "1"]).current_dir(ROOT).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let nodes: BTreeMap<String, Value> =
        list(&metadata["resolve"]["nodes"]).into_iter().map(|n| (n["id"].as_str().expect("an id").to_string(), n)).collect();
    let mut seen = BTreeSet::new();
    let mut todo = vec![metadata["resolve"]["root"].as_str().expect("a root").to_string()];
    while let Some(id) = todo.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for dependency in list(&nodes[&id]["deps"]) {
            if list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"] != "dev") {
                todo.push(dependency["pkg"].as_str().expect("an id").to_string());
            }
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let ours = |p: &Value| seen.contains(p["id"].as_str().unwrap_or_default()) && p["name"] != "kiln";
    list(&metadata["packages"])
        .iter()
        .filter(|p| ours(p))
        .map(|p| ["name", "version", "license", "source"].map(|key| text(&p[key])))
        .collect()
}

/// Whether a licence expression can be met with the allowed ones alone. AND binds closer than OR; `/` is how OR was once written.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (met, rest) = either(&words, allowed);
    met && rest.is_empty()
}

fn either<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = both(words, allowed);
    while let ["OR", more @ ..] = rest {
        let (other, left) = both(more, allowed);
        met |= other;
        rest = left;
    }
    (met, rest)
}

fn both<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut met, mut rest) = single(words, allowed);
    while let ["AND", more @ ..] = rest {
        let (other, left) = single(more, allowed);
        met &= other;
        rest = left;
    }
    (met, rest)
}

fn single<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    match words {
        ["(", inner @ ..] => match either(inner, allowed) {
            (met, [")", rest @ ..]) => (met, rest),
            (_, rest) => (false, rest),
        },
        [name, "WITH", exception, rest @ ..] => (allowed.contains(&format!("{name} WITH {exception}")), rest),
        [name, rest @ ..] => (allowed.iter().any(|a| a == name), rest),
        [] => (false, words),
    }
}

fn words(value: &toml::Value) -> Vec<String> {
    value.as_array().expect("a list").iter().filter_map(|word| word.as_str().map(String::from)).collect()
}

#[test]
fn dependencies_keep_to_the_list() {
    let text = std::fs::read_to_string(format!("{ROOT}/deny.toml")).expect("the list");
    let list: toml::Table = toml::from_str(&text).expect("TOML");
    let allowed = words(&list["licenses"]["allow"]);
    let registries = words(&list["sources"]["allow-registry"]);
    let skipped: BTreeSet<&str> =
        list["bans"]["skip"].as_array().expect("a list").iter().filter_map(|entry| entry.get("crate")?.as_str()).collect();
    let packages = packages();
    assert!(packages.len() > 50, "too few packages were found: {}", packages.len());
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for [name, version, license, source] in &packages {
        assert!(is_met(license, &allowed), "{name} {version} is under `{license}`, which deny.toml does not allow");
        assert!(registries.iter().any(|r| source == &format!("registry+{r}")), "{name} {version} comes from {source}");
        versions.entry(name).or_default().push(version);
    }
    let several: BTreeSet<&str> = versions.iter().filter(|(_, v)| v.len() > 1).map(|(name, _)| *name).collect();
    assert_eq!(several, skipped, "packages with several versions, and those that deny.toml lists");
}

/// The generated list of what the program is linked with.
fn list() -> String {
    let mut rows: Vec<String> = packages()
        .into_iter()
        .map(|[name, version, license, _]| format!("| `{name}` | {version} | {} |\n", license.replace('/', " OR ")))
        .collect();
    rows.sort();
    format!(
        "# What kiln is made of\n\nEvery package that a build for any system needs, without those of tests alone. `scripts/licences` writes this file \
         anew from Cargo.lock; kiln itself is under MIT or Apache-2.0.\n\n| package | version | licence |\n|---|---|---|\n{}",
        rows.concat()
    )
}

#[test]
fn the_list_of_licences_is_current() {
    let path = format!("{ROOT}/docs/licences.md");
    if std::env::var_os("KILN_WRITE_LICENCES").is_some() {
        std::fs::write(&path, list()).expect("written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == list(), "docs/licences.md is not what Cargo.lock says; run scripts/licences");
}

#[test]
fn a_licence_is_met_or_not() {
    let allowed = ["MIT", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"].map(String::from);
    for met in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception OR X"] {
        assert!(is_met(met, &allowed), "{met}");
    }
    for unmet in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR X) AND Y", "Apache-2.0", "MIT X", "X OR MIT AND Y", "(MIT"] {
        assert!(!is_met(unmet, &allowed), "{unmet}");
    }
}
