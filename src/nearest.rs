//! What someone may have meant by a word that is not known.

/// How alike two words must be, from 0 to 1.
const ALIKE: f64 = 0.8;
/// What other programs call some settings, and what they are called here.
const ELSEWHERE: [(&str, &str); 8] = [
    ("lr", "learning_rate"),
    ("batch_size", "batch"),
    ("bs", "batch"),
    ("optimizer", "optimiser"),
    ("wd", "weight_decay"),
    ("num_layers", "layers"),
    ("hidden_size", "hidden"),
    ("latent_dim", "latent"),
];

/// The known word that is most like `word`, or means the same elsewhere, if there is any.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let same = ELSEWHERE.iter().find(|(other, _)| *other == word).map(|(_, own)| *own);
    let likeness = |own: &str| match own.replace('-', "_") {
        _ if same == Some(own) => 1.0,
        // One slip: a letter too many, too few, another, or two that changed places.
        other if word.len() > 2 && strsim::damerau_levenshtein(&word, &other) <= 1 => 0.99,
        other => strsim::jaro_winkler(&word, &other),
    };
    let alike = known.into_iter().map(|own| (likeness(own), own)).filter(|(likeness, _)| *likeness >= ALIKE);
    alike.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, own)| own)
}

/// "; did you mean X?", or nothing.
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map(|own| format!("; did you mean {own}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_others_names_are_understood_and_other_words_are_not() {
        let words = ["pixelcnn", "pixelrnn", "gated-pixelcnn", "vae", "diffusion", "learning_rate"];
        assert_eq!(nearest("pixlecnn", words), Some("pixelcnn"));
        assert_eq!(nearest("PixelRNN", words), Some("pixelrnn"));
        assert_eq!(nearest("gated_pixelcnn", words), Some("gated-pixelcnn"));
        assert_eq!(nearest("difusion", words), Some("diffusion"));
        assert_eq!(nearest("lr", words), Some("learning_rate"));
        assert_eq!((nearest("transformer", words), nearest("lr", ["vae"])), (None, None));
        assert_eq!((hint("vea", words), hint("xyz", words)), ("; did you mean vae?".into(), String::new()));
    }
}
