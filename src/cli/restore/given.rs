//! What is given of images: pictures of what a run is shown, or whole images of which that is made.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sight::Sight;
use crate::cli::given::bytes_of;
use crate::data::{self, Binarization, Scale, Source};
use crate::error::{Error, Result};
use crate::model::Shown;
use crate::train::{DataRequest, Trained, open_data};

/// Images of a source, where the command does not say how many.
const IMAGES: usize = 8;

/// What is given of each image, in 0..1, and the whole images where they are known.
pub struct Given {
    /// What is shown of each.
    pub shown: Vec<f32>,
    /// The images.
    pub truth: Option<Vec<f32>>,
    /// Their classes, where they have any.
    pub labels: Vec<u32>,
    /// How many there are.
    pub count: usize,
    /// What they are called.
    pub name: String,
    /// Names of the pictures, where they are files.
    pub files: Vec<String>,
}

impl Given {
    /// Pictures of the size that a run is shown: a file, or all that a folder holds.
    ///
    /// # Errors
    /// Pictures of another size, or torn; [`Error::Usage`] for a folder of none, or of several sizes.
    pub fn pictures(path: &Path, shown: Shown, trained: &Trained) -> Result<Self> {
        let dims = shown.dims(trained.recipe.data.dims);
        let paths = if path.is_dir() { data::images_in(path)? } else { vec![path.to_path_buf()] };
        let at = path.display();
        if paths.is_empty() {
            return Err(Error::usage(format!("{at} holds no pictures; name a picture, or a folder of pictures")));
        }
        if path.is_dir() {
            one_size(&paths, dims)?;
        }
        let mut given = Vec::new();
        for path in &paths {
            given.extend(bytes_of(path, dims)?.into_iter().map(|byte| byte / 255.0));
        }
        let name = |path: &PathBuf| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let files = paths.iter().map(name).collect();
        Ok(Self { shown: given, truth: None, labels: Vec::new(), count: paths.len(), name: at.to_string(), files })
    }

    /// Whole images of a source, and what a run is shown of them; or the pictures of a folder that are that already.
    ///
    /// # Errors
    /// Those of the source.
    pub fn data(source: Option<&str>, count: Option<usize>, sight: Sight, trained: &Trained) -> Result<Self> {
        let shown = sight.shown();
        if let Some(folder) = source.map(Path::new).filter(|path| path.is_dir())
            && are_shown(folder, shown, trained.recipe.data.dims)?
        {
            check_count(count)?;
            return Self::pictures(folder, shown, trained);
        }
        let request = DataRequest { source, labels: trained.model.conditional(), ..DataRequest::default() };
        let source = open_data(&trained.recipe, &request)?;
        let count = count.unwrap_or(IMAGES.min(source.len()));
        let source: Arc<dyn Source> = data::subset(source, count)?;
        let (dims, name) = (source.dims(), source.name());
        let mut given = Self { shown: Vec::new(), truth: None, labels: Vec::new(), count: source.len(), name, files: Vec::new() };
        let mut truth = Vec::new();
        for batch in data::sequential(source, 64, 0, Binarization::None, Scale::Unit) {
            let batch = batch?;
            truth.extend(batch.values);
            given.labels.extend(batch.labels);
        }
        for image in truth.chunks(dims.iter().product::<usize>()) {
            given.shown.extend(sight.of_image(image, dims));
        }
        // Of grey images the colours are not known.
        let grey = shown == Shown::Luma && truth.chunks(3).all(|pixel| pixel.iter().all(|v| *v == pixel[0]));
        given.truth = (!grey).then_some(truth);
        Ok(given)
    }
}

/// Refuses a number of images where all that are given are drawn.
///
/// # Errors
/// [`Error::Usage`].
pub fn check_count(count: Option<usize>) -> Result<()> {
    match count {
        Some(_) => {
            Err(Error::usage("-n takes a part of whole images, and every picture that is given is drawn; leave -n out, -k says how often"))
        }
        None => Ok(()),
    }
}

/// Whether every picture of a folder is what a run is shown: small, or grey.
fn are_shown(folder: &Path, shown: Shown, dims: [usize; 3]) -> Result<bool> {
    let [h, w, _] = shown.dims(dims);
    let paths = data::images_in(folder)?;
    for path in &paths {
        let look = data::look(path)?;
        let fits = [look.height as usize, look.width as usize] == [h, w];
        if !fits || (shown == Shown::Luma && look.colour) {
            return Ok(false);
        }
    }
    Ok(!paths.is_empty())
}

/// Refuses pictures of several sizes.
fn one_size(paths: &[PathBuf], [h, w, _]: [usize; 3]) -> Result<()> {
    for path in paths {
        let look = data::look(path)?;
        if [look.height as usize, look.width as usize] != [h, w] {
            let words = "scale them first, or name pictures of one size";
            return Err(Error::usage(format!(
                "{} is {}×{}, and every picture of a folder must be {h}×{w}, which is what this run is shown; {words}",
                path.display(),
                look.height,
                look.width
            )));
        }
    }
    Ok(())
}
