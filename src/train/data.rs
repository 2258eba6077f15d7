//! A run's data: every command opens it, and any other data for the run, through the recipe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recipe::{DataRecipe, Recipe};
use crate::data::{self, Binarization, OpenOptions, Reading, Source, Split, Wanted};
use crate::error::{Error, Result};

/// Data that a command wants for a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct DataRequest<'a> {
    /// SOURCE as the command line has it; without one, data of the run's own that training did not see.
    pub source: Option<&'a str>,
    /// Only a seeded random so many items.
    pub limit: Option<usize>,
    /// The binarization that the command names, if any: it says whether bytes of 0 and 1 are bits.
    pub binarization: Option<Binarization>,
    /// Whether labels are used, so that every class must be one of the run's.
    pub labels: bool,
}

/// Opens data for a run as the run sees it: its test split where none is named.
///
/// # Errors
/// Those of the source; [`Error::Usage`] with what does not fit the run, or where nothing of its data is left unseen.
pub fn open_data(recipe: &Recipe, request: &DataRequest<'_>) -> Result<Arc<dyn Source>> {
    let options = options(recipe);
    let (text, opened) = match request.source {
        Some(text) => (text.to_string(), open_at_size(recipe, text, &options)?),
        None => unseen(&recipe.data, &options)?,
    };
    let fitted = fit(&recipe.data, &text, opened, request.binarization, request.labels)?;
    request.limit.map_or(Ok(fitted.clone()), |limit| data::subset(fitted, limit))
}

/// A source by its name; pictures of several sizes are brought to that of the run, whatever its own were read with.
fn open_at_size(recipe: &Recipe, text: &str, options: &OpenOptions) -> Result<Arc<dyn Source>> {
    data::open(text, Split::Test, options).or_else(|failed| {
        if options.reading.size.is_some() || options.reading.series.is_settled() {
            return Err(failed);
        }
        let [height, width, _] = recipe.data.dims;
        let reading = Reading { size: Some([height, width]), ..options.reading.clone() };
        data::open(text, Split::Test, &OpenOptions { reading, ..options.clone() }).map_err(|_| failed)
    })
}

/// What a run is trained on.
///
/// # Errors
/// Those of the source; [`Error::Usage`] where it no longer fits.
pub fn training_data(recipe: &Recipe) -> Result<Arc<dyn Source>> {
    let recorded = &recipe.data;
    let opened = data::open(&recorded.source, Split::Train, &options(recipe))?;
    chosen(recorded, fit(recorded, &recorded.source, opened, None, !recorded.class_names.is_empty())?)
}

/// The part of the training data that a run was limited to.
pub fn chosen(recorded: &DataRecipe, mut source: Arc<dyn Source>) -> Result<Arc<dyn Source>> {
    if let Some(limit) = recorded.limit {
        source = data::subset(source, limit)?;
    }
    recorded.labels_per_class.map_or(Ok(source.clone()), |count| data::labelled(source, count))
}

/// What a run makes its choices on; none where its source names a split, or has nothing to hold out.
///
/// # Errors
/// Those of the source; [`Error::Usage`] where it does not fit.
pub fn validation_data(recipe: &Recipe, labels: bool) -> Result<Option<Arc<dyn Source>>> {
    let text = &recipe.data.source;
    if data::named_split(text).is_some() {
        return Ok(None);
    }
    match data::open(text, Split::Valid, &options(recipe)) {
        Err(Error::Usage(_)) => Ok(None),
        opened => fit(&recipe.data, text, opened?, None, labels).map(Some),
    }
}

fn options(recipe: &Recipe) -> OpenOptions {
    OpenOptions { seed: recipe.seed, reading: recipe.data.reading.clone(), ..OpenOptions::default() }
}

fn fit(recorded: &DataRecipe, text: &str, source: Arc<dyn Source>, asked: Option<Binarization>, labels: bool) -> Result<Arc<dyn Source>> {
    let wanted = Wanted {
        dims: recorded.dims,
        kind: recorded.kind(),
        class_names: &recorded.class_names,
        binarization: recorded.binarization,
        asked,
        labels,
        own: place(text) == place(&recorded.source),
    };
    data::fit(source, &wanted)
}

/// Where a source lies, whatever split is named and however its path is written.
fn place(text: &str) -> PathBuf {
    let base = data::with_split(text, None);
    std::fs::canonicalize(&base).unwrap_or_else(|_| PathBuf::from(base))
}

/// The test split of a run's own data, where training did not see it.
fn unseen(recorded: &DataRecipe, options: &OpenOptions) -> Result<(String, Arc<dyn Source>)> {
    let named = data::named_split(&recorded.source);
    let (base, test) = (data::with_split(&recorded.source, None), data::with_split(&recorded.source, Some(Split::Test)));
    let rest = match named {
        Some(Split::Test) => {
            let words = format!("the run was trained on {test}: name data that it did not see with --data, such as {base}:train");
            return Err(Error::usage(words));
        }
        Some(Split::All) => "the run was trained on all the rest: name other data with --data".into(),
        Some(Split::Valid) => format!("the run was trained on what is held out: name {base}:train or other data with --data"),
        None | Some(Split::Train) => format!("training did not see what is held out: name --data {base}:valid, or other data"),
    };
    match data::open(&test, Split::Test, options) {
        Ok(opened) => Ok((test, opened)),
        Err(Error::Usage(_)) if data::open(&recorded.source, Split::Train, options).is_ok() => {
            Err(Error::usage(format!("{base} has no test split; {rest}")))
        }
        Err(other) => Err(other),
    }
}

/// A source that means the same from any folder, so that a run goes on from any.
pub fn absolute(source: &str) -> String {
    if source.starts_with("builtin:") {
        return source.into();
    }
    std::path::absolute(Path::new(source)).ok().and_then(|path| path.to_str().map(String::from)).unwrap_or_else(|| source.into())
}

/// Refuses training data that is not what the run was started on: `moved`, or where none is named the recipe's own.
///
/// Returns the source that the run goes on with, which has the split of the old one where `moved` names none.
///
/// # Errors
/// [`Error::Usage`] with what differs; those of the source.
pub fn check_unchanged(recipe: &Recipe, moved: Option<&str>) -> Result<String> {
    let recorded = &recipe.data;
    let source = match moved {
        None => recorded.source.clone(),
        Some(text) if data::named_split(text).is_some() => absolute(text),
        Some(text) => data::with_split(&absolute(text), data::named_split(&recorded.source)),
    };
    if moved.is_none() && !data::is_there(&source) {
        let gone = data::with_split(&source, None);
        return Err(Error::usage(format!("{gone} is not there any more; if the data was moved, name where it lies now with --data")));
    }
    let opened = data::open(&source, Split::Train, &options(recipe))?;
    data::check_same(&*opened, recorded.count, &recorded.class_names, &recorded.digest())?;
    Ok(source)
}
