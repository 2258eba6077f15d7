//! Every flag and every `key=value` that the program's words name is one that it takes: the strings and doc comments of all of `src`, and
//! the commands that the pages show.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::args::Cli;
use super::measured::SETTINGS;
use crate::data::series::Cut;
use crate::data::{Augment, Binarization, Kind, Reading};
use crate::model::{self, DataSpec};
use crate::train::{TrainRecipe, parse_settings};

/// Signs of equality in strings that are no settings: by file, the word before.
const NO_SETTINGS: [(&str, &str); 4] =
    [("report/page.rs", "width"), ("cli/mod.rs", "kiln"), ("ranks/launcher.rs", "cmd"), ("ranks/launcher.rs", "exitcode")];

/// What the program takes.
struct Known {
    /// Long options by command; under the empty name those of all commands, and of no command.
    flags: BTreeMap<String, BTreeSet<String>>,
}

impl Known {
    fn new() -> Self {
        let mut root = Cli::command();
        root.build();
        let longs = |command: &clap::Command| command.get_arguments().filter_map(|a| a.get_long().map(String::from)).collect::<Vec<_>>();
        let mut flags = BTreeMap::from([(String::new(), BTreeSet::from_iter(longs(&root)))]);
        for command in root.get_subcommands() {
            let found: &mut BTreeSet<String> = flags.entry(command.get_name().to_string()).or_default();
            found.extend(longs(command));
            command.get_subcommands().for_each(|inner| found.extend(longs(inner)));
        }
        Self { flags }
    }

    /// What is wrong with a text: flags and settings that there are not. `family` are the models that it speaks of.
    fn wrong(&self, text: &str, family: &[&str]) -> Vec<String> {
        let mut wrong = Vec::new();
        for flag in flags(text) {
            if !self.flags.values().any(|flags| flags.contains(flag)) {
                wrong.push(format!("--{flag} is no option"));
            }
        }
        for line in text.lines() {
            wrong.extend(self.wrong_commands(line));
        }
        wrong.extend(settings(text).filter_map(|(key, value)| wrong_setting(key, value, family)));
        wrong
    }

    /// Flags of another command in the commands of a line: `kiln COMMAND …` up to a sign of the sentence around it.
    fn wrong_commands(&self, line: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        for shown in line.split("kiln ").skip(1) {
            let shown = shown.split([',', ';', '`', '(', '|']).next().unwrap_or_default();
            let Some(name) = shown.split_whitespace().next() else { continue };
            let Some(own) = self.flags.get(name) else { continue };
            wrong.extend(flags(shown).filter(|flag| !own.contains(*flag)).map(|flag| format!("kiln {name} has no --{flag}")));
        }
        wrong
    }
}

/// Words behind `--`.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.match_indices("--").filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '-'));
    let word = |(at, _): (usize, &str)| {
        let rest = &text[at + 2..];
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')).unwrap_or(rest.len());
        rest[..end].trim_end_matches('-')
    };
    starts.map(word).filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
}

/// Pairs of `key=value`, where both are words; a value may be empty where it is put in later.
fn settings(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.match_indices('=').filter_map(|(at, _)| {
        let start = text[..at]
            .rfind(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
            .map_or(0, |i| i + text[i..].chars().next().map_or(1, char::len_utf8));
        let before = text[..start].chars().next_back();
        let rest = &text[at + 1..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || ".#+_-".contains(c))).unwrap_or(rest.len());
        let value = rest[..end].trim_end_matches('.');
        let apart = before.is_none_or(|c| c.is_whitespace() || "(`;\"'".contains(c));
        let key = &text[start..at];
        (apart && key.starts_with(|c: char| c.is_ascii_lowercase()) && (!value.is_empty() || rest.starts_with(['{', '…'])))
            .then_some((key, value))
    })
}

/// A setting that none of these models takes.
fn wrong_setting(key: &str, value: &str, family: &[&str]) -> Option<String> {
    if key == "binarization" && value.starts_with(|c: char| c.is_ascii_lowercase()) && value.parse::<Binarization>().is_err() {
        return Some(format!("binarization={value} is none"));
    }
    if SETTINGS.iter().any(|(known, _)| *known == key)
        || key == "key"
        || Reading::KEYS.contains(&key)
        || Cut::KEYS.contains(&key)
        || Augment::KEYS.contains(&key)
        || TrainRecipe::is_key(key)
    {
        return None;
    }
    let said: Vec<String> = family.iter().map(|name| refusal(name, key, value)).collect();
    if said.iter().all(|said| said.contains("unknown field")) {
        return Some(format!("{key} is no setting of {}", family.join(", ")));
    }
    // Capitals and what is put in later stand for any value.
    let any = value.is_empty() || value.chars().all(|c| c.is_ascii_uppercase());
    let refused = |said: &String| ["unknown", "expected"].iter().any(|word| said.contains(word));
    (!any && said.iter().all(refused)).then(|| format!("{key}={value} is taken by none of {}", family.join(", ")))
}

/// What a model says of one setting.
fn refusal(name: &str, key: &str, value: &str) -> String {
    let hyper = parse_settings(&[format!("{key}={value}")]).expect("a pair");
    let data = DataSpec { dims: [8, 8, 1], classes: 2, kind: Kind::Binary, binarization: Binarization::Static, mean: None };
    model::build(name, &hyper, &data).err().map(|e| e.to_string()).unwrap_or_default()
}

/// The models that a file of `src` speaks of.
fn family(file: &str) -> Vec<&'static str> {
    let folder = file.strip_prefix("model/").and_then(|rest| rest.split_once('/')).map(|(folder, _)| folder);
    match folder {
        Some("gan") => vec!["gan", "dcgan", "wgan", "wgan-gp"],
        Some("vae") => vec!["vae", "cvae", "autoencoder"],
        Some("gated") => vec!["gated-pixelcnn"],
        Some("pixelcnn") => vec!["pixelcnn"],
        Some("pixelcnn_pp") => vec!["pixelcnn-pp"],
        Some("pixelrnn") => vec!["pixelrnn"],
        _ => model::names().to_vec(),
    }
}

/// Strings and doc comments of some tokens, without those of tests; and the names of files that hold tests alone.
fn strings(tokens: TokenStream, found: &mut Vec<String>, tests: &mut Vec<String>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Literal(literal) => found.extend(unquoted(&literal.to_string())),
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Bracket && group.stream().to_string().replace(' ', "") == "cfg(test)" =>
            {
                let mut name = String::new();
                for skipped in tokens.by_ref() {
                    match skipped {
                        TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
                        TokenTree::Punct(end) if end.as_char() == ';' => {
                            tests.push(name);
                            break;
                        }
                        other => name = other.to_string(),
                    }
                }
            }
            TokenTree::Group(group) => strings(group.stream(), found, tests),
            _ => {}
        }
    }
}

/// What a string's source stands for, near enough to find words in it.
fn unquoted(source: &str) -> Option<String> {
    if let Some(raw) = source.strip_prefix('r') {
        return Some(raw.trim_matches('#').trim_matches('"').to_string());
    }
    let body = source.strip_prefix('"')?.strip_suffix('"')?;
    let mut lines = body.split("\\\n");
    let joined = lines.next().map(String::from).into_iter().chain(lines.map(|line| line.trim_start().to_string())).collect::<String>();
    Some(joined.replace("\\n", "\n").replace("\\\"", "\"").replace("\\'", "'"))
}

/// Every Rust file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            files(&entry, found);
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            found.push(entry);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The strings of each file of `src` that holds more than tests, by its path from there.
fn all_strings() -> BTreeMap<String, Vec<String>> {
    let source = root().join("src");
    let (mut paths, mut texts, mut tests) = (Vec::new(), BTreeMap::new(), Vec::new());
    files(&source, &mut paths);
    for path in paths {
        let tokens: TokenStream = std::fs::read_to_string(&path).expect("text").parse().expect("Rust");
        let (mut found, mut names) = (Vec::new(), Vec::new());
        strings(tokens, &mut found, &mut names);
        tests.extend(names.into_iter().map(|name| path.with_file_name(name + ".rs")));
        texts.insert(path, found);
    }
    tests.iter().for_each(|path| drop(texts.remove(path)));
    let short = |path: PathBuf| path.strip_prefix(&source).expect("in src").to_str().expect("UTF-8").replace('\\', "/");
    texts.into_iter().map(|(path, found)| (short(path), found)).collect()
}

#[test]
fn every_flag_and_setting_in_the_programs_words_is_one_it_takes() {
    let known = Known::new();
    let (mut wrong, mut flagged, mut set) = (Vec::new(), 0, 0);
    for (file, texts) in all_strings() {
        let family = family(&file);
        for text in texts {
            flagged += flags(&text).count();
            set += settings(&text).count();
            let stands = |word: &str| {
                NO_SETTINGS.iter().any(|(at, key)| *at == file && word == format!("{key} is no setting of {}", family.join(", ")))
            };
            wrong
                .extend(known.wrong(&text, &family).into_iter().filter(|word| !stands(word)).map(|word| format!("{file}: {word}: {text}")));
        }
    }
    // Enough to know that the words were read at all.
    assert!(flagged > 100 && set > 40, "only {flagged} flags and {set} settings were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_command_that_the_pages_show_is_one() {
    let known = Known::new();
    let docs = std::fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let pages = docs
        .chain(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)))
        .filter(|path| path.extension().is_some_and(|e| e == "md"));
    let (mut wrong, mut lines) = (Vec::new(), 0);
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("a page");
        for line in text.lines().filter(|line| line.contains("kiln ")) {
            lines += 1;
            wrong.extend(known.wrong_commands(line).into_iter().map(|word| format!("{}: {word}: {line}", page.display())));
        }
    }
    assert!(lines > 5, "only {lines} lines show a command");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_that_are_wrong_are_found() {
    let known = Known::new();
    let all = model::names();
    for (text, family, reason) in [
        ("scale them with --resize 32", &all[..], "--resize is no option"),
        ("(--oout FILE)", &all, "--oout is no option"),
        ("kiln sample runs/x --out a.png --resume runs/x", &all, "kiln sample has no --resume"),
        ("say so with --set latnet=3", &all, "latnet is no setting"),
        ("take latent=3", &["pixelcnn"], "latent is no setting of pixelcnn"),
        ("take `levels={many}`", &["gan"], "levels is no setting of gan"),
        ("or form=mpl instead", &all, "form=mpl is taken by none"),
        ("--set binarization=dynamite", &all, "binarization=dynamite is none"),
    ] {
        let said = known.wrong(text, family);
        assert!(said.len() == 1 && said[0].contains(reason), "{text}: {said:?}");
    }
    for right in [
        "kiln train pixelcnn --data d --set preset=tiny; then kiln sample run --out a.png, or --resume it",
        "with --set form=mlp, latent=N or `levels={levels}` — a == b (size=HxW)",
        "log-p=3 --log-p --set iw=K",
    ] {
        let said = known.wrong(right, &all);
        assert!(said.is_empty(), "{right}: {said:?}");
    }
    let (mut found, mut tests) = (Vec::new(), Vec::new());
    let source =
        "/// Says --so.\nfn f() { g(\"a \\\n   --b\") }\n#[cfg(test)]\nmod tests { const C: &str = \"--c\"; }\n#[cfg(test)] mod only;";
    strings(source.parse().expect("Rust"), &mut found, &mut tests);
    assert_eq!((found, tests), (vec![" Says --so.".to_string(), "a --b".into()], vec!["only".to_string()]));
}
