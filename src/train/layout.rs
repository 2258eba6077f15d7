//! Tensors between kiln's layouts and PyTorch's.

use crate::graph::{Layout, TensorSpec};

/// The shape a tensor has in a checkpoint.
pub fn torch_shape(spec: &TensorSpec) -> Vec<usize> {
    let dims = spec.shape.dims();
    match &spec.layout {
        Layout::Plain | Layout::Derived | Layout::ImageVector(_) => dims.to_vec(),
        Layout::Conv { kernel: [h, w], .. } => vec![dims[2], dims[1], *h, *w],
        // Here [taps, out, in]: the convolution whose adjoint it is maps out to in.
        Layout::ConvTransposed { kernel: [h, w] } => vec![dims[2], dims[1], *h, *w],
        Layout::ConvOfAdjoint { kernel: [h, w] } => vec![dims[1], dims[2], *h, *w],
        Layout::Linear { .. } => vec![dims[2], dims[1]],
    }
}

/// For each element of the tensor here, its place in the checkpoint.
fn places(spec: &TensorSpec) -> Vec<usize> {
    let dims = spec.shape.dims();
    match &spec.layout {
        Layout::Plain | Layout::Derived => (0..spec.shape.len()).collect(),
        Layout::ImageVector(image) => {
            let item = image.iter().product::<usize>();
            (0..spec.shape.len()).map(|i| i / item * item + channels_first(i % item, *image)).collect()
        }
        Layout::Conv { kernel: [h, w], taps } => {
            let c = dims[1];
            let place = |t: usize, i: usize, o: usize| ((o * c + i) * h + taps[t][0]) * w + taps[t][1];
            cells(dims).map(|[t, i, o]| place(t, i, o)).collect()
        }
        Layout::ConvTransposed { kernel: [h, w] } => {
            let d = dims[1];
            cells(dims).map(|[t, o, i]| (i * d + o) * h * w + t).collect()
        }
        Layout::ConvOfAdjoint { kernel: [h, w] } => {
            let c = dims[2];
            cells(dims).map(|[t, o, i]| (o * c + i) * h * w + t).collect()
        }
        Layout::Linear { input_image, output_image } => {
            let flat = |i: usize, image: &Option<[usize; 3]>| match image {
                Some(image) if i < image.iter().product() => channels_first(i, *image),
                _ => i,
            };
            cells(dims).map(|[_, i, o]| flat(o, output_image) * dims[1] + flat(i, input_image)).collect()
        }
    }
}

fn cells(dims: &[usize]) -> impl Iterator<Item = [usize; 3]> + use<> {
    let [a, b, c] = [dims[0], dims[1], dims[2]];
    (0..a).flat_map(move |x| (0..b).flat_map(move |y| (0..c).map(move |z| [x, y, z])))
}

/// The place in `[c, h, w]` of element `i` of `[h, w, c]`.
fn channels_first(i: usize, [h, w, c]: [usize; 3]) -> usize {
    let (pixel, channel) = (i / c, i % c);
    channel * h * w + pixel
}

/// Values in the checkpoint's layout; zeros where no tap is.
pub fn to_torch(spec: &TensorSpec, values: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; torch_shape(spec).iter().product()];
    for (value, place) in values.iter().zip(places(spec)) {
        out[place] = *value;
    }
    out
}

/// Values in kiln's layout.
pub fn from_torch(spec: &TensorSpec, values: &[f32]) -> Vec<f32> {
    places(spec).into_iter().map(|place| values[place]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Init, Shape};

    #[test]
    fn every_layout_comes_back() {
        let layouts: [(&[usize], Layout); 8] = [
            (&[5], Layout::Plain),
            (&[2, 3, 4], Layout::Conv { kernel: [3, 3], taps: vec![[0, 2], [1, 1]] }),
            (&[4, 3, 2], Layout::ConvTransposed { kernel: [2, 2] }),
            (&[4, 3, 2], Layout::ConvOfAdjoint { kernel: [2, 2] }),
            (&[1, 12, 5], Layout::Linear { input_image: Some([2, 2, 3]), output_image: None }),
            (&[12], Layout::ImageVector([2, 2, 3])),
            (&[1, 15, 5], Layout::Linear { input_image: Some([2, 2, 3]), output_image: None }),
            (&[4, 12], Layout::ImageVector([2, 2, 3])),
        ];
        for (dims, layout) in layouts {
            let shape = Shape::new(dims);
            let values: Vec<f32> = (1..=shape.len()).map(|v| v as f32).collect();
            let spec =
                TensorSpec { name: String::new(), shape, offset: 0, init: Init::Constant(0.0), layout, trained: true, averaged: true };
            let torch = to_torch(&spec, &values);
            assert_eq!(torch.len(), torch_shape(&spec).iter().product::<usize>());
            assert_eq!(from_torch(&spec, &torch), values, "{:?}", spec.layout);
        }
    }

    /// The places in a checkpoint of a model's tensor, each value being its own number.
    fn placed(model: &str, hyper: &str, name: &str) -> (Vec<usize>, Vec<f32>) {
        let data = crate::model::DataSpec {
            dims: [4, 4, 3],
            classes: 2,
            kind: crate::data::Kind::Pixels,
            binarization: crate::data::Binarization::None,
            mean: None,
        };
        let model = crate::model::build(model, &toml::from_str(hyper).expect("TOML"), &data).expect("a model");
        let spec = model.state().groups.iter().flat_map(|g| &g.tensors).find(|t| t.name == name).expect("the tensor").clone();
        let values: Vec<f32> = (0..spec.shape.len()).map(|v| v as f32).collect();
        (torch_shape(&spec), to_torch(&spec, &values))
    }

    #[test]
    fn labels_are_joined_to_images_channels_first() {
        // The vector of a class is added to what `project` makes, so it lies as the bias of `project` does.
        let (shape, label) = placed("cvae", "form = 'conv'\nfilters = 2", "decoder.label.weight");
        let (_, bias) = placed("cvae", "form = 'conv'\nfilters = 2", "decoder.project.bias");
        assert_eq!(shape, [2, 8]);
        assert_eq!(bias, [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
        assert_eq!(label, bias.iter().copied().chain(bias.iter().map(|v| v + 8.0)).collect::<Vec<_>>());
        // torch.cat([x.flatten(1), y], 1): 48 values of the image, red, green, blue, then the classes.
        let (shape, first) = placed("gan", "conditional = true\njudge = 1\npieces = 1", "discriminator.layers.0.weight");
        assert_eq!(shape, [1, 50]);
        let image = (0..3).flat_map(|c| (0..16).map(move |p| (3 * p + c) as f32));
        assert_eq!(first, image.chain([48.0, 49.0]).collect::<Vec<_>>());
    }
}
