//! Several kernels as one: a dispatch whose workgroups are shared out among them.
//!
//! Each kernel's `main` becomes a function, and the workgroup's number says which of them it calls. Equal declarations are written once: a
//! workgroup carries out one kernel alone, so that equal arrays of workgroup memory can be one.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::{Error, Result};

/// Workgroups along one dimension at most, on every adapter.
const MAX_GROUPS: u64 = 65_535;

/// What a kernel that can be merged must take, whatever it calls them.
const ARGUMENTS: [&str; 2] = ["@builtin(workgroup_id)", "@builtin(local_invocation_index)"];

/// A kernel's text, taken apart into its declarations.
#[derive(Clone, Debug)]
pub struct Part {
    /// Invocations of a workgroup.
    pub threads: u32,
    /// The type of each binding, by number.
    pub types: Vec<String>,
    /// Arrays of workgroup memory, by name and type of the elements, and the bytes of each. Kernels that are merged share those of one name
    /// and type.
    pub arrays: Vec<([String; 2], u32)>,
    items: Vec<Item>,
}

/// One declaration of a module.
#[derive(Clone, Debug)]
struct Item {
    name: String,
    tokens: Vec<String>,
    /// Places of the words that may mean declarations of the module.
    references: Vec<usize>,
    /// The number of a binding.
    binding: Option<usize>,
}

impl Part {
    /// Takes a kernel apart; `None` where it is not of the kind that can be merged: one entry point `main` that is told the numbers of
    /// workgroup and invocation and no more, and storage buffers alone.
    pub fn of(text: &str) -> Option<Self> {
        let mut items = Vec::new();
        let mut open: Vec<String> = Vec::new();
        let mut depth = 0usize;
        for token in tokens(text) {
            match token {
                "(" | "{" | "[" => depth += 1,
                ")" | "}" | "]" => depth = depth.checked_sub(1)?,
                _ => {}
            }
            let closes = depth == 0 && (token == ";" || (token == "}" && matches!(keyword(&open), Some("fn" | "struct"))));
            if !open.is_empty() || !token.trim().is_empty() {
                open.push(token.to_string());
            }
            if closes {
                let tokens = std::mem::take(&mut open);
                if tokens.len() > 1 {
                    items.push(Item::of(tokens)?);
                }
            }
        }
        let main = items.iter().find(|item| item.name == "main")?.tokens.concat();
        let (_, size) = main.split_once("@workgroup_size(")?;
        let sides = size.split_once(')')?.0.split(',').map(|side| side.trim().parse::<u32>());
        // Invocations are told their number in the workgroup alone, whatever its form.
        let threads = sides.product::<std::result::Result<u32, _>>().ok()?;
        let (head, _) = main.split_once('{')?;
        let arguments: Vec<&str> = head.split_once("fn main(")?.1.split(", ").collect();
        let fits = arguments.len() == 2 && arguments.iter().zip(ARGUMENTS).all(|(given, wanted)| given.starts_with(wanted));
        let count = items.iter().filter(|item| item.binding.is_some()).count();
        let types = (0..count).map(|number| items.iter().find(|item| item.binding == Some(number))?.declared());
        let types = types.collect::<Option<Vec<_>>>()?;
        let arrays = items.iter().filter(|item| item.tokens.concat().starts_with("var<workgroup>"));
        let arrays = arrays.map(|item| item.workgroup_array(&items)).collect::<Option<Vec<_>>>()?;
        fits.then_some(Self { threads, types, arrays, items })
    }
}

/// Bytes of a number or a vector of numbers.
fn size(ty: &str) -> Option<u32> {
    match ty {
        "f32" | "u32" | "i32" => Some(4),
        _ => {
            let (lanes, of) = ty.strip_prefix("vec")?.split_once('<')?;
            Some(lanes.parse::<u32>().ok()? * size(of.strip_suffix('>')?)?)
        }
    }
}

impl Item {
    fn of(tokens: Vec<String>) -> Option<Self> {
        let word = keyword(&tokens)?;
        if !["fn", "struct", "alias", "const", "var"].contains(&word) {
            return None;
        }
        let at = tokens.iter().position(|t| t == word)?;
        // A variable's address space stands between the word and the name.
        let behind = tokens[at..].iter().position(|t| t == ">").filter(|_| word == "var").unwrap_or(0);
        let name = tokens[at + behind + 1..].iter().find(|t| is_word(t))?.clone();
        let text = tokens.concat();
        let number = text.split_once("@binding(").map(|(_, rest)| rest.split_once(')')?.0.trim().parse().ok());
        let binding = match number {
            Some(number) if text.contains("var<storage") => Some(number?),
            Some(_) => return None,
            None => None,
        };
        let references = references(&tokens);
        Some(Self { name, tokens, references, binding })
    }

    /// The name, the type of the elements and the bytes of an array of workgroup memory, in a module of these declarations.
    fn workgroup_array(&self, items: &[Item]) -> Option<([String; 2], u32)> {
        let text = self.tokens.concat();
        let (element, len) = array(text.trim())?;
        let meaning = items.iter().filter(|item| item.name == element).map(|item| item.tokens.concat());
        let meaning = meaning.filter_map(|text| Some(text.trim().strip_suffix(';')?.split_once("= ")?.1.to_string())).next();
        let element = meaning.unwrap_or_else(|| element.to_string());
        let bytes = size(&element)? * u32::try_from(len).ok()?;
        Some(([self.name.clone(), element], bytes))
    }

    /// The type of a binding.
    fn declared(&self) -> Option<String> {
        let text = self.tokens.concat();
        let (_, ty) = text.split_once('>')?.1.split_once(':')?;
        Some(ty.trim().trim_end_matches(';').to_string())
    }
}

/// Places of the words that may mean declarations of the module: no members, no attributes, nothing that is declared within (but calls mean
/// functions whatever else has their name).
fn references(tokens: &[String]) -> Vec<usize> {
    let solid = |range: &mut dyn Iterator<Item = usize>| range.map(|at| tokens[at].as_str()).find(|t| !t.trim().is_empty());
    let before = |at: usize| solid(&mut (0..at).rev());
    let behind = |at: usize| solid(&mut (at + 1..tokens.len()));
    let words: Vec<usize> = (0..tokens.len()).filter(|&at| is_word(&tokens[at])).collect();
    let has_inner = matches!(keyword(tokens), Some("fn" | "struct"));
    // Members, parameters and some variables have a type behind them, others a word before.
    let declares = |at: usize| has_inner && (behind(at) == Some(":") || matches!(before(at), Some("let" | "var" | "const")));
    let inner: HashSet<&str> = words.iter().filter(|&&at| declares(at)).map(|&at| tokens[at].as_str()).collect();
    let means = |at: usize| !inner.contains(tokens[at].as_str()) || behind(at) == Some("(");
    words.into_iter().filter(|&at| !matches!(before(at), Some("." | "@")) && means(at)).collect()
}

/// A part of a merged kernel: what it is, which of the merged kernel's bindings each of its own is, and its workgroups.
#[derive(Clone, Debug)]
pub struct Share<'a> {
    /// The kernel.
    pub part: &'a Part,
    /// For each of its bindings the number of one of the merged kernel's, of the same type and access.
    pub bindings: Vec<usize>,
    /// Workgroups along x, y and z.
    pub groups: [u32; 3],
}

/// The text of a kernel that does what all of them do, and its workgroups. All have equally many invocations in a workgroup.
///
/// # Errors
/// [`Error::Device`] where they differ in that, or in how they declare one binding.
pub fn merge(shares: &[Share<'_>]) -> Result<(String, [u32; 3])> {
    let fault = |what: &str| Error::Device(format!("kernels cannot be merged: {what}"));
    let threads = shares.first().map_or(1, |share| share.part.threads);
    if shares.iter().any(|share| share.part.threads != threads) {
        return Err(fault("they differ in the invocations of a workgroup"));
    }
    let total: u64 = shares.iter().map(Share::count).sum();
    let y = total.div_ceil(MAX_GROUPS).max(1);
    let x = total.div_ceil(y).max(1);
    let mut writer = Writer::default();
    let mut body = format!("    let at = group.y * {x}u + group.x;\n    ");
    let mut start = 0;
    for share in shares {
        let known: HashMap<&str, usize> = share.part.items.iter().enumerate().map(|(at, item)| (item.name.as_str(), at)).collect();
        let mut names = BTreeMap::new();
        let main = writer.item(share, &known, *known.get("main").ok_or_else(|| fault("one has no main"))?, &mut names)?;
        let end = start + share.count();
        body += &format!("if at < {end}u {{\n        {main}({}, lane);\n    }} else ", share.place(start));
        start = end;
    }
    let body = body.trim_end_matches(" else ");
    for ([_, element], (name, len)) in &writer.arrays {
        writer.text += &format!("var<workgroup> {name}: array<{element}, {len}>;\n\n");
    }
    let head = "fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32)";
    Ok((format!("{}@compute @workgroup_size({threads})\n{head} {{\n{body}\n}}\n", writer.text), [x as u32, y as u32, 1]))
}

impl Share<'_> {
    fn count(&self) -> u64 {
        self.groups.iter().map(|&g| u64::from(g)).product()
    }

    /// The number of its workgroup that is workgroup `at` of the merged kernel, where its first is number `start`.
    fn place(&self, start: u64) -> String {
        let own = if start == 0 { "at".to_string() } else { format!("(at - {start}u)") };
        let [x, y, z] = self.groups;
        let layer = u64::from(x) * u64::from(y);
        // Where there is one layer its number is none the less divided for: of a constant compilers would write out loops that begin there.
        match (y, z) {
            (1, 1) => format!("vec3<u32>({own}, 0u, {own} / {layer}u)"),
            (_, 1) => format!("vec3<u32>({own} % {x}u, {own} / {x}u, {own} / {layer}u)"),
            _ => format!("vec3<u32>({own} % {x}u, {own} / {x}u % {y}u, {own} / {layer}u)"),
        }
    }
}

/// Declarations written so far.
#[derive(Default)]
struct Writer {
    text: String,
    /// The name of each declaration, by the name it had and its text.
    written: HashMap<(String, String), String>,
    /// How many declarations had each name.
    used: HashMap<String, usize>,
    bindings: HashMap<usize, String>,
    /// Workgroup memory by the name of its array and the type of its elements: the new name and the most elements.
    arrays: BTreeMap<[String; 2], (String, usize)>,
}

/// Stands for a declaration's own name while its text is compared with others'.
const OWN: &str = "\u{0}";

impl Writer {
    /// Writes a declaration and those it needs, where they are not written yet; returns its name. `names` are those of this share.
    fn item(
        &mut self,
        share: &Share<'_>,
        known: &HashMap<&str, usize>,
        number: usize,
        names: &mut BTreeMap<usize, String>,
    ) -> Result<String> {
        if let Some(name) = names.get(&number) {
            return Ok(name.clone());
        }
        let item = &share.part.items[number];
        let mut tokens = item.tokens.clone();
        for &at in &item.references {
            if let Some(&other) = known.get(item.tokens[at].as_str()) {
                tokens[at] = if other == number { OWN.into() } else { self.item(share, known, other, names)? };
            }
        }
        let text = if item.name == "main" { function(&tokens) } else { tokens.concat().trim().to_string() };
        let name = match (item.binding, array(&text)) {
            (Some(own), _) => self.binding(share.bindings[own], &text)?,
            (None, Some((element, len))) => self.array(&item.name, element, len),
            (None, None) => self.declaration(&item.name, text),
        };
        names.insert(number, name.clone());
        Ok(name)
    }

    fn declaration(&mut self, name: &str, text: String) -> String {
        if let Some(name) = self.written.get(&(name.to_string(), text.clone())) {
            return name.clone();
        }
        let new = self.unused(name);
        self.text += &text.replace(OWN, &new);
        self.text += "\n\n";
        self.written.insert((name.to_string(), text), new.clone());
        new
    }

    /// An array of workgroup memory: kernels whose arrays have one name and type share the longest.
    fn array(&mut self, name: &str, element: &str, len: usize) -> String {
        let key = [name.to_string(), element.to_string()];
        if let Some((name, most)) = self.arrays.get_mut(&key) {
            *most = len.max(*most);
            return name.clone();
        }
        let new = self.unused(name);
        self.arrays.insert(key, (new.clone(), len));
        new
    }

    /// A name that no declaration has, after an old one.
    fn unused(&mut self, name: &str) -> String {
        let used = self.used.entry(name.to_string()).or_default();
        let new = if *used == 0 && name != "main" { name.to_string() } else { format!("{name}_of{used}") };
        *used += 1;
        new
    }

    fn binding(&mut self, number: usize, text: &str) -> Result<String> {
        let name = format!("memory_{number}");
        let declared = text.split_once("var<").map_or("", |(_, rest)| rest).replace(OWN, &name);
        match self.bindings.get(&number) {
            Some(before) if *before == declared => {}
            Some(_) => return Err(Error::Device(format!("kernels cannot be merged: they declare binding {number} differently"))),
            None => {
                self.text += &format!("@group(0) @binding({number}) var<{declared}\n\n");
                self.bindings.insert(number, declared);
            }
        }
        Ok(name)
    }
}

/// Type and number of the elements of an array of workgroup memory.
fn array(text: &str) -> Option<(&str, usize)> {
    let (_, ty) = text.strip_prefix("var<workgroup>")?.split_once(": array<")?;
    let (element, len) = ty.strip_suffix(">;")?.rsplit_once(", ")?;
    Some((element, len.parse().ok()?))
}

/// An entry point as a plain function: without attributes.
fn function(tokens: &[String]) -> String {
    let mut out = String::new();
    let body = tokens.iter().position(|t| t == "{").unwrap_or(tokens.len());
    let mut at = 0;
    while at < body {
        if tokens[at] == "@" {
            at += 2;
            if tokens.get(at).is_some_and(|t| t == "(") {
                at += tokens[at..].iter().position(|t| t == ")").map_or(0, |behind| behind + 1);
            }
        } else {
            out += &tokens[at];
            at += 1;
        }
    }
    (out + &tokens[body..].concat()).trim().to_string()
}

/// The first word of a declaration that is no attribute.
fn keyword(tokens: &[String]) -> Option<&str> {
    let mut depth = 0;
    let mut attribute = false;
    for token in tokens {
        match token.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            "@" => attribute = true,
            word if depth == 0 && is_word(word) => {
                if !attribute {
                    return Some(word);
                }
                attribute = false;
            }
            _ => {}
        }
    }
    None
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Words, numbers, and what is between them character by character, without comments.
fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while let Some(comment) = rest.strip_prefix("//") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        }
        let first = rest.chars().next()?;
        let numeric = first.is_ascii_digit();
        let len = if numeric || first.is_ascii_alphabetic() || first == '_' {
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || (numeric && c == '.'))).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(len);
        rest = behind;
        Some(token)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOUBLE: &str = "// Doubles.\n@group(0) @binding(0) var<storage, read_write> output: array<f32>;\n@group(0) @binding(1) var<storage, read> \
                          input: array<f32>;\nconst COUNT: u32 = 5u;\nstruct Pair {\n    output: f32,\n}\n\nfn twice(x: f32) -> f32 {\n    let pair = \
                          Pair(x);\n    return 2.0 * pair.output;\n}\n\n@compute @workgroup_size(64)\nfn main(@builtin(workgroup_id) group: \
                          vec3<u32>, @builtin(local_invocation_index) lane: u32) {\n    let i = group.x * 64u + lane;\n    if i < COUNT {\n        \
                          output[i] = twice(input[i]);\n    }\n}\n";

    fn check(text: &str) {
        let module = naga::front::wgsl::parse_str(text).unwrap_or_else(|e| panic!("{}\n{text}", e.emit_to_string(text)));
        let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::empty());
        validator.validate(&module).unwrap_or_else(|e| panic!("{}\n{text}", e.emit_to_string(text)));
    }

    #[test]
    fn equal_declarations_are_written_once_and_others_apart() {
        let (double, other) = (DOUBLE.to_string(), DOUBLE.replace("2.0 *", "3.0 *").replace("5u", "7u"));
        let parts = [&double, &double, &other].map(|text| Part::of(text).expect("a part"));
        assert_eq!((parts[0].threads, parts[0].types.clone()), (64, vec!["array<f32>".to_string(); 2]));
        let share = |part, bindings: [usize; 2], groups| Share { part, bindings: bindings.to_vec(), groups };
        let shares = [share(&parts[0], [0, 1], [1, 1, 1]), share(&parts[1], [2, 1], [1, 1, 1]), share(&parts[2], [3, 1], [3, 2, 2])];
        let (text, groups) = merge(&shares).expect("merged");
        check(&text);
        assert_eq!(groups, [14, 1, 1]);
        assert_eq!(text.matches("fn main").count(), 4, "{text}");
        assert_eq!(text.matches("fn twice").count(), 2, "{text}");
        assert_eq!(text.matches("struct Pair").count(), 1, "{text}");
        assert_eq!(text.matches("@binding").count(), 4, "{text}");
        assert!(text.contains("main_of2(vec3<u32>((at - 2u) % 3u, (at - 2u) / 3u % 2u, (at - 2u) / 6u), lane)"), "{text}");
    }

    #[test]
    fn workgroup_memory_is_shared_by_the_longest() {
        let with = |len: &str, ty: &str| {
            let array = format!("var<workgroup> strands: array<{ty}, {len}>;\n\n@compute");
            DOUBLE.replace("@compute", &array).replace("    if i < COUNT", &format!("    strands[lane] = {ty}();\n    if i < COUNT"))
        };
        let texts = [with("64", "f32"), with("96", "f32"), with("64", "vec2<f32>")];
        let parts = texts.map(|text| Part::of(&text).expect("a part"));
        let shares: Vec<_> = parts.iter().map(|part| Share { part, bindings: vec![0, 1], groups: [1; 3] }).collect();
        let (text, _) = merge(&shares).expect("merged");
        check(&text);
        assert_eq!(text.matches("var<workgroup>").count(), 2, "{text}");
        assert!(text.contains("array<f32, 96>") && text.contains("array<vec2<f32>, 64>"), "{text}");
    }

    #[test]
    fn what_cannot_be_merged_is_told() {
        assert_eq!(Part::of(&DOUBLE.replace("workgroup_size(64)", "workgroup_size(8, 4)")).expect("a part").threads, 32);
        assert!(Part::of(&DOUBLE.replace("workgroup_id", "global_invocation_id")).is_none());
        assert!(Part::of(&format!("enable f16;\n{DOUBLE}")).is_none());
        let parts = [DOUBLE.to_string(), DOUBLE.replace("workgroup_size(64)", "workgroup_size(32)")].map(|t| Part::of(&t).expect("a part"));
        let shares: Vec<_> = parts.iter().map(|part| Share { part, bindings: vec![0, 1], groups: [1; 3] }).collect();
        assert!(merge(&shares).is_err());
        let shares: Vec<_> = [[0, 1], [1, 0]].iter().map(|b| Share { part: &parts[0], bindings: b.to_vec(), groups: [1; 3] }).collect();
        assert!(merge(&shares).is_err());
    }
}
