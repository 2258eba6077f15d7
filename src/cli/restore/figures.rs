//! How near drawn images are to the truth, beside what a simple rule makes of what is given.

use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Rgb};
use serde_json::{Value, json};

use super::sight::Sight;
use crate::eval::quality::{colourfulness, psnr, ssim};
use crate::model::{Shown, luma};

/// Figures of a set of images.
pub struct Figures {
    shown: Shown,
    /// Mean dB and similarity: of the simple rule, of single samples, of the means of an image's samples.
    fidelity: [[f64; 2]; 3],
    /// Mean over single samples of the square of what is given less what it is of the sample.
    consistency: f64,
    /// Mean colourfulness of samples and of the truth, where there are colours.
    colours: Option<[f64; 2]>,
}

impl Figures {
    /// Of images, what the rule made of them, and samples, as many of each.
    pub fn of(sight: Sight, (truth, rules, drawn): (&[f32], &[f32], &[f32]), dims: [usize; 3]) -> Self {
        let item: usize = dims.iter().product();
        let each = drawn.len() / truth.len();
        let count = (truth.len() / item) as f64;
        let mut sums = [[0.0; 2]; 3];
        let (mut consistency, mut colours) = (0.0, [0.0; 2]);
        let part = |image: &[f32]| sight.of_image(image, dims);
        for ((truth, rule), samples) in truth.chunks(item).zip(rules.chunks(item)).zip(drawn.chunks(each * item)) {
            let mean: Vec<f32> = (0..item).map(|i| samples.iter().skip(i).step_by(item).sum::<f32>() / each as f32).collect();
            let mut add = |row: usize, image: &[f32], share: f64| {
                sums[row][0] += share * psnr(truth, image).min(100.0);
                sums[row][1] += share * ssim(truth, image, dims);
            };
            add(0, rule, 1.0);
            add(2, &mean, 1.0);
            let given = part(truth);
            for sample in samples.chunks(item) {
                add(1, sample, 1.0 / each as f64);
                let squares: f64 = part(sample).iter().zip(&given).map(|(a, b)| f64::from(a - b).powi(2)).sum();
                consistency += squares / given.len() as f64 / each as f64 / count;
                if dims[2] == 3 {
                    colours[0] += colourfulness(sample) / each as f64 / count;
                }
            }
            if dims[2] == 3 {
                colours[1] += colourfulness(truth) / count;
            }
        }
        let fidelity = sums.map(|row| row.map(|sum| sum / count));
        Self { shown: sight.shown(), fidelity, consistency, colours: (dims[2] == 3).then_some(colours) }
    }

    fn rule(&self) -> &'static str {
        if self.shown == Shown::Luma { "left grey" } else { "bicubic" }
    }

    /// Lines of a table.
    pub fn words(&self) -> String {
        let rows = [self.rule(), "single samples", "means of an image's samples"];
        let mut words = format!("{:<30}{:>10}{:>10}", "", "PSNR, dB", "SSIM");
        for (name, [db, similarity]) in rows.iter().zip(self.fidelity) {
            words += &format!("\n{name:<30}{db:>10.2}{similarity:>10.4}");
        }
        words += &format!(
            "\nboth favour what is blurred; what was given is off by {:.6} in the samples (mean square; values are 0 to 1)",
            self.consistency
        );
        if let Some([own, usual]) = self.colours {
            words += &format!("\ncolourfulness {own:.1}, of the truth {usual:.1}");
        }
        words
    }

    /// The same by name.
    pub fn object(&self) -> Value {
        let row = |[db, similarity]: [f64; 2]| json!({ "psnr": db, "ssim": similarity });
        let [rule, single, mean] = self.fidelity.map(row);
        json!({
            "rule": self.rule(), "of_rule": rule, "of_samples": single, "of_means": mean, "consistency": self.consistency,
            "colourfulness": self.colours.map(|c| c[0]), "colourfulness_of_truth": self.colours.map(|c| c[1]),
        })
    }
}

/// What is shown, as an image of the whole size: each small pixel as often as it stands for, grey in every channel.
pub fn spread(shown: Shown, part: &[f32], [h, w, c]: [usize; 3]) -> Vec<f32> {
    match shown {
        Shown::Luma => part.iter().flat_map(|v| vec![*v; c]).collect(),
        Shown::Small { factor } => {
            let at = |y: usize, x: usize, k: usize| part[((y / factor) * (w / factor) + x / factor) * c + k];
            (0..h).flat_map(|y| (0..w).flat_map(move |x| (0..c).map(move |k| (y, x, k)))).map(|(y, x, k)| at(y, x, k)).collect()
        }
    }
}

/// What a simple rule makes of what is shown: bicubic enlargement; grey stays grey.
pub fn enlarged(shown: Shown, part: &[f32], dims @ [h, w, c]: [usize; 3]) -> Vec<f32> {
    let Shown::Small { factor } = shown else { return spread(shown, part, dims) };
    let small = [w / factor, h / factor];
    let image = ImageBuffer::from_fn(small[0] as u32, small[1] as u32, |x, y| {
        let pixel = &part[(y as usize * small[0] + x as usize) * c..][..c];
        Rgb(std::array::from_fn(|k| pixel[k.min(c - 1)]))
    });
    let large = resize(&image, w as u32, h as u32, FilterType::CatmullRom);
    large.pixels().flat_map(|p| p.0[..c].to_vec()).map(|v| v.clamp(0.0, 1.0)).collect()
}

/// Moves an image so that what is shown of it is what was given: each pixel along grey, or each square of pixels as one, as far as values go.
pub fn kept_exact(shown: Shown, given: &[f32], image: &mut [f32], dims: [usize; 3]) {
    let own = match shown {
        Shown::Luma => image.chunks(3).map(luma).collect(),
        Shown::Small { .. } => shown.of_image(image, dims),
    };
    let off: Vec<f32> = given.iter().zip(own).map(|(given, own)| given - own).collect();
    image.iter_mut().zip(spread(shown, &off, dims)).for_each(|(v, off)| *v = (*v + off).clamp(0.0, 1.0));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_kept_and_enlarging_a_plain_image_changes_nothing() {
        let dims = [4, 4, 3];
        let image: Vec<f32> = (0..48).map(|i| 0.5 + 0.2 * (i as f32).sin()).collect();
        for shown in [Shown::Luma, Shown::Small { factor: 2 }] {
            let given = shown.of_image(&image, dims);
            let mut other: Vec<f32> = (0..48).map(|i| 0.5 + 0.1 * (i as f32 * 1.7).cos()).collect();
            kept_exact(shown, &given, &mut other, dims);
            let now = shown.of_image(&other, dims);
            assert!(now.iter().zip(&given).all(|(a, b)| (a - b).abs() < 1e-5), "{shown:?}");
            assert_eq!(enlarged(shown, &vec![0.25; given.len()], dims).len(), 48);
        }
        assert!(enlarged(Shown::Small { factor: 4 }, &[0.25], [4, 4, 1]).iter().all(|v| (v - 0.25).abs() < 1e-6));
    }

    #[test]
    fn figures_of_the_truth_itself_are_perfect() {
        let dims = [4, 4, 3];
        let truth: Vec<f32> = (0..48).map(|i| 0.5 + 0.4 * (i as f32).sin()).collect();
        let shown = Shown::Small { factor: 2 };
        let rule = enlarged(shown, &shown.of_image(&truth, dims), dims);
        let figures = Figures::of(Sight::Shown(shown), (&truth, &rule, &truth.repeat(2)), dims);
        let [of_rule, single, mean] = figures.fidelity;
        assert!((single[0] - 100.0).abs() < 1e-9 && mean[0] > 60.0 && of_rule[0] < 60.0 && (single[1] - 1.0).abs() < 1e-6);
        assert!(figures.consistency < 1e-12 && figures.colours.is_some_and(|[a, b]| (a - b).abs() < 1e-9));
        assert!(figures.words().contains("bicubic") && figures.object()["of_samples"]["psnr"].as_f64().is_some());
    }
}
