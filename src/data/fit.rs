//! Data seen as a run sees it: labels by the names of its classes, its channels, bytes or bits as it was trained on.

use super::classes::listed;
use super::layer::Layer;
use super::{Binarization, Kind, Source, item_len};
use crate::{Error, Result};
use std::sync::Arc;

/// Items read when data is opened where only their values can say whether they fit.
const PROBED: usize = 16;

/// What a run takes its data for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// `[H, W, C]`.
    pub dims: [usize; 3],
    /// What the values are.
    pub kind: Kind,
    /// Class names in the order of their labels; empty where the run was trained without labels.
    pub class_names: &'a [String],
    /// How the run makes bits of grey.
    pub binarization: Binarization,
    /// The binarization that the command names, if any.
    pub asked: Option<Binarization>,
    /// Whether labels are used, so that every class must be one of the run's.
    pub labels: bool,
    /// Whether this is part of the data set that the run was trained on, whose bytes are known to be bits or not.
    pub own: bool,
}

/// `source` as a run sees it.
///
/// Labels follow class names; where they are not used and a class is not one of the run's, the source has none. Grey becomes colour where
/// the run has colour; colour becomes grey where its channels are equal. Bytes of 0 and 1 alone are bits in a run on bits and bytes in a run
/// on bytes; where the latter makes bits of them, the command must say which. Bytes of 0 and 255 alone are bits in a run on bits.
///
/// # Errors
/// [`Error::Usage`] with what does not fit.
pub fn fit(source: Arc<dyn Source>, wanted: &Wanted<'_>) -> Result<Arc<dyn Source>> {
    let (found, dims) = (source.dims(), wanted.dims);
    let convertible = source.kind() != Kind::Points && wanted.kind != Kind::Points && matches!((found[2], dims[2]), (1, 3) | (3, 1));
    if found[..2] != dims[..2] || (found[2] != dims[2] && !convertible) {
        return Err(other_dims(&source.name(), found, dims, "take data of that size"));
    }
    let labels = labels(&*source, wanted)?;
    let values = values(&*source, wanted)?;
    if labels.is_none() && values == Values::Same && found == dims {
        return Ok(source);
    }
    let probe = values == Values::Bits || found[2] > dims[2];
    let fitted = Fitted { inner: source, dims, labels, values };
    if probe {
        let mut out = vec![0.0; item_len(dims)];
        (0..PROBED.min(fitted.len())).try_for_each(|index| fitted.read(index, &mut out))?;
    }
    Ok(Arc::new(fitted))
}

fn other_dims(name: &str, found: [usize; 3], wanted: [usize; 3], way_out: &str) -> Error {
    let shown = |[h, w, c]: [usize; 3]| format!("{h}×{w}×{c}");
    Error::usage(format!("{name} holds items of {}, and this run was made for {}; {way_out}", shown(found), shown(wanted)))
}

/// The labels of the run for those of the source; `None` where they are the same.
fn labels(source: &dyn Source, wanted: &Wanted<'_>) -> Result<Option<Labels>> {
    let (names, name) = (source.class_names(), source.name());
    if names.is_empty() && wanted.labels {
        return Err(Error::usage(format!("{name} has no labels, and they are needed here; take labelled data")));
    }
    if names.is_empty() || wanted.class_names.is_empty() || names == wanted.class_names {
        return Ok(None);
    }
    let known = |name: &String| wanted.class_names.iter().position(|known| known == name).map(|label| label as u32);
    let foreign: Vec<String> = names.iter().filter(|name| known(name).is_none()).cloned().collect();
    if foreign.is_empty() {
        let to = names.iter().filter_map(known).collect();
        return Ok(Some(Labels { names: wanted.class_names.to_vec(), to }));
    }
    if !wanted.labels {
        return Ok(Some(Labels { names: Vec::new(), to: Vec::new() }));
    }
    let (class, one) = if foreign.len() == 1 { ("class", "it") } else { ("classes", "them") };
    Err(Error::usage(format!(
        "{name} has the {class} {}, and the run was trained on {}; leave {one} out or take other data",
        listed(&foreign),
        listed(wanted.class_names)
    )))
}

fn values(source: &dyn Source, wanted: &Wanted<'_>) -> Result<Values> {
    let name = source.name();
    match (source.kind(), wanted.kind) {
        (Kind::Binary, Kind::Pixels) if source.knows_white() => Ok(Values::Same),
        (Kind::Binary, Kind::Pixels) => match (wanted.own, wanted.binarization, wanted.asked) {
            (true, ..) | (false, Binarization::None, _) | (.., Some(Binarization::Dynamic | Binarization::Threshold)) => Ok(Values::Bytes),
            (.., Some(Binarization::Static)) => Ok(Values::Same),
            _ => Err(Error::usage(format!(
                "{name} holds bytes 0 and 1 alone, and the run was trained on bytes up to 255 made bits: scale them to 0 and 255 if 1 \
                 is white (or say --set binarization=static), or say --set binarization={} if 1 is nearly black",
                wanted.binarization
            ))),
        },
        (Kind::Pixels, Kind::Binary) => match wanted.asked.unwrap_or(wanted.binarization) {
            Binarization::Dynamic | Binarization::Threshold => Ok(Values::Same),
            Binarization::None | Binarization::Static => Ok(Values::Bits),
        },
        (Kind::Points, Kind::Pixels | Kind::Binary) | (Kind::Pixels | Kind::Binary, Kind::Points) => {
            Err(Error::usage(format!("{name} and the data of the run are not both images or both points; take other data")))
        }
        _ => Ok(Values::Same),
    }
}

/// What becomes of values.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    /// Nothing.
    Same,
    /// The 255 that a bit was made is the byte 1 again.
    Bytes,
    /// 0 and 255 are bits, and nothing else is there.
    Bits,
}

struct Labels {
    names: Vec<String>,
    /// The run's label of each label of the source; empty where it has none.
    to: Vec<u32>,
}

struct Fitted {
    inner: Arc<dyn Source>,
    dims: [usize; 3],
    labels: Option<Labels>,
    values: Values,
}

impl Layer for Fitted {
    fn inner(&self) -> &Arc<dyn Source> {
        &self.inner
    }
    fn shape(&self) -> [usize; 3] {
        self.dims
    }
    fn values(&self) -> Kind {
        match self.values {
            Values::Same => self.inner.kind(),
            Values::Bytes => Kind::Pixels,
            Values::Bits => Kind::Binary,
        }
    }
    fn names(&self) -> Vec<String> {
        self.labels.as_ref().map_or_else(|| self.inner.class_names(), |labels| labels.names.clone())
    }
    fn mapped(&self, label: u32) -> Option<u32> {
        self.labels.as_ref().map_or(Some(label), |labels| labels.to.get(label as usize).copied())
    }
    fn fill(&self, below: usize, out: &mut [f32]) -> Result<()> {
        let found = self.inner.dims();
        match (found[2], self.dims[2]) {
            (1, 3) => {
                let mut grey = vec![0.0; item_len(found)];
                self.inner.read(below, &mut grey)?;
                out.chunks_exact_mut(3).zip(grey).for_each(|(pixel, value)| pixel.fill(value));
            }
            (3, 1) => {
                let mut colour = vec![0.0; item_len(found)];
                self.inner.read(below, &mut colour)?;
                for (value, pixel) in out.iter_mut().zip(colour.chunks_exact(3)) {
                    if pixel[0] != pixel[1] || pixel[0] != pixel[2] {
                        let way_out = format!("item {below} has colour: take grey images");
                        return Err(other_dims(&self.inner.name(), found, self.dims, &way_out));
                    }
                    *value = pixel[0];
                }
            }
            _ => self.inner.read(below, out)?,
        }
        match self.values {
            Values::Same => {}
            Values::Bytes => out.iter_mut().for_each(|v| *v /= 255.0),
            Values::Bits => {
                if let Some(grey) = out.iter().find(|v| **v != 0.0 && **v != 255.0) {
                    let name = self.inner.name();
                    return Err(Error::usage(format!(
                        "{name} is not binary (item {below} holds {grey}), and the run was trained on bits; set binarization to dynamic \
                         or threshold, or take binary data"
                    )));
                }
            }
        }
        Ok(())
    }
}
