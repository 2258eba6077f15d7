//! PixelRNN: its sizes, what each pixel may see and does see, that its probabilities are probabilities, and that it learns.

#[path = "support/pixels.rs"]
mod pixels;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use kiln::cpu::{Arena, CpuProgram, CpuState};
use kiln::graph::{Plan, Step};
use kiln::model::{self, need};
use kiln::random::Draws;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::sample::raster::{Job, Method, RasterProgram, RasterSampler, Watch};
use kiln::train::TrainRecipe;
use kiln::wait::Wait;
use kiln::{Error, Result};

use pixels::{Net, data, domain, early, job, seen_in_a_pixel};

const SMALL: &str = "hidden = 6\nhead = 6\nfirst_kernel = 5";
const LAYERS: [&str; 2] = ["layer = 'row'", "layer = 'diagonal'"];

/// A PixelRNN whose initial states are those of a trained model: not zero.
fn rnn(dims: [usize; 3], levels: usize, hyper: &str) -> Result<Net> {
    let mut net = Net::labelled("pixelrnn", dims, levels, hyper)?;
    for id in net.model.state().ids() {
        let spec = net.model.state().spec(id);
        if spec.name.ends_with("initial") {
            let mut draws = Draws::new(5, id.index as u32, 0);
            let values: Vec<f32> = (0..spec.shape.len()).map(|_| draws.range(-1.0, 1.0)).collect();
            net.state.write(id, Arena::Value, &values)?;
        }
    }
    Ok(net)
}

/// The pixels that the logit of a pixel has a derivative by, in `f64`.
fn field(net: &Net, [r, c]: [usize; 2]) -> Result<BTreeSet<[usize; 2]>> {
    let [h, w, _] = net.dims;
    let mut graph = need::raster(net.model.as_ref())?.raster_graph(1)?;
    let (logits, x) = (graph.outputs()[0].1, graph.inputs()["x"]);
    let row = graph.slice(logits, 1, r, 1)?;
    let one = graph.slice(row, 2, c, 1)?;
    let one = graph.sum_all(one)?;
    let gradient = graph.gradients(one, &[x])?[0];
    graph.output("field", gradient);
    let spec = net.model.state();
    let mut state = CpuState::<f64>::new(spec);
    for id in spec.ids() {
        let values = net.state.read(id, Arena::Value).wait()?;
        state.tensor_mut(id, Arena::Value).iter_mut().zip(values).for_each(|(to, v)| *to = f64::from(v));
    }
    let mut program = CpuProgram::<f64>::new(Plan::new(&graph, spec, false), Arena::Value);
    let mut seen = BTreeSet::new();
    for stream in 0..4 {
        let image: Vec<f64> = net.noise(1, stream).into_iter().map(f64::from).collect();
        program.write("x", &image)?;
        program.run(&mut state, &Step::default());
        let values = program.read(&state, "field")?;
        seen.extend((0..h * w).filter(|at| values[*at] != 0.0).map(|at| [at / w, at % w]));
    }
    Ok(seen)
}

#[test]
fn sizes_are_those_of_the_reference() -> Result<()> {
    for (hyper, parameters) in [
        ("layer = 'row'\npreset = 'small'", 26_113),
        ("layer = 'diagonal'\npreset = 'small'", 20_545),
        ("layer = 'diagonal'\npreset = 'mnist'", 65_185),
    ] {
        let net = rnn([28, 28, 1], 2, hyper)?;
        // Kernels without a right half have no zeros to count.
        assert_eq!(net.model.state().parameters(true), parameters, "{hyper}");
    }
    Ok(())
}

#[test]
fn no_logit_sees_its_own_value_or_a_later_one() -> Result<()> {
    for layer in LAYERS {
        for (dims, levels) in [([5, 7, 1], 2), ([7, 4, 1], 256), ([3, 5, 3], 2), ([4, 3, 3], 9), ([2, 9, 1], 7)] {
            let mut net = rnn(dims, levels, &format!("{layer}\n{SMALL}"))?;
            let early = early(&mut net)?;
            assert!(early.is_empty(), "{layer}, {dims:?}, {levels} levels: values changed the logits of earlier ones: {early:?}");
        }
    }
    Ok(())
}

#[test]
fn a_colour_sees_the_colours_before_it_in_its_own_pixel() -> Result<()> {
    for layer in LAYERS {
        let mut net = rnn([3, 4, 3], 2, &format!("{layer}\nhidden = 12\nhead = 12"))?;
        assert_eq!(seen_in_a_pixel(&mut net)?, BTreeSet::from([(0, 1), (0, 2), (1, 2)]), "{layer}");
    }
    Ok(())
}

#[test]
fn the_diagonal_network_sees_every_earlier_pixel_but_one() -> Result<()> {
    for (layers, [h, w]) in [(1, [6, 10]), (2, [7, 9]), (1, [8, 5])] {
        let net = rnn([h, w, 1], 2, &format!("layer = 'diagonal'\nlayers = {layers}\nhidden = 4\nhead = 8"))?;
        for at in 0..h * w {
            let [r, c] = [at / w, at % w];
            let mut want: BTreeSet<[usize; 2]> = (0..at).map(|j| [j / w, j % w]).collect();
            // What comes from the right is shifted down a row, and mask A of the first kernel reaches three columns to the right.
            if r > 0 && c + 3 < w - 1 {
                want.remove(&[r - 1, w - 1]);
            }
            assert_eq!(field(&net, [r, c])?, want, "{layers} layers, {h}×{w}, pixel {:?}", [r, c]);
        }
    }
    Ok(())
}

#[test]
fn the_row_network_sees_a_triangle() -> Result<()> {
    let [h, w] = [7, 19];
    let net = rnn([h, w, 1], 2, "layer = 'row'\nlayers = 1\nhidden = 4\nhead = 8")?;
    for at in 0..h * w {
        let [r, c] = [(at / w) as i32, (at % w) as i32];
        let mut want = BTreeSet::new();
        for up in 0..=r {
            // A step up is a column to either side; the last is the first kernel's, which also looks three rows up, three to either
            // side; and the input of a cell holds the pixel left of it.
            let last = if up == 0 { c - 1 } else { c + up + 2 };
            let columns = (c - up - 4).max(0)..=last.min(w as i32 - 1);
            want.extend(columns.map(|x| [(r - up) as usize, x as usize]));
        }
        assert_eq!(field(&net, [r as usize, c as usize])?, want, "pixel {:?}", [r, c]);
    }
    Ok(())
}

#[test]
fn probabilities_of_every_image_sum_to_one() -> Result<()> {
    for layer in LAYERS {
        for (dims, levels) in [([3, 3, 1], 2), ([2, 2, 3], 2), ([2, 3, 1], 3)] {
            let mut net = rnn(dims, levels, &format!("{layer}\n{SMALL}"))?;
            let values = net.item();
            let count = levels.pow(values as u32);
            let scores = net.score(&domain(values, levels), 256)?;
            let total: f64 = scores.nll.iter().map(|nll| (-nll).exp()).sum();
            assert_eq!(scores.nll.len(), count);
            assert!((total - 1.0).abs() < 2e-5, "{layer}, {dims:?}, {levels} levels: {total}");
        }
    }
    Ok(())
}

#[test]
fn the_samplers_log_p_is_the_scorers_however_a_job_is_split() -> Result<()> {
    for layer in LAYERS {
        for (dims, levels) in [([4, 5, 1], 2), ([2, 3, 3], 5)] {
            let mut net = rnn(dims, levels, &format!("{layer}\n{SMALL}"))?;
            let drawn = net.draw(Method::Cached, &job(7, 0))?;
            assert_eq!(drawn, net.draw(Method::Naive, &job(7, 0))?, "{layer}, {dims:?}");
            let rest = net.draw(Method::Cached, &job(4, 3))?;
            assert_eq!(rest.images, drawn.images[3 * net.item()..]);
            let scores = net.score(&drawn.images, 4)?;
            for (log_p, nll) in drawn.log_p.iter().zip(&scores.nll) {
                assert!((log_p + nll).abs() <= 2e-6 * nll, "{layer}, {dims:?}: {log_p} against {}", -nll);
            }
        }
    }
    Ok(())
}

/// One-hot labels of three classes in turn.
fn labels_in_turn(count: usize) -> Vec<f32> {
    (0..count * 3).map(|i| f32::from(u8::from(i % 3 == i / 3 % 3))).collect()
}

#[test]
fn cached_sampling_is_naive_sampling_bit_for_bit() -> Result<()> {
    for layer in LAYERS {
        for (dims, levels, more) in [
            ([5, 7, 1], 2, ""),
            ([7, 4, 1], 2, "kernel = 1"),
            ([3, 8, 1], 9, "kernel = 5\nlayers = 3"),
            ([2, 2, 1], 2, "layers = 1\nfirst_kernel = 7"),
            ([4, 3, 3], 2, "kernel = 5"),
            ([3, 5, 3], 4, "hidden = 3\nhead = 9\nconditional = true"),
            ([6, 2, 2], 3, "conditional = true"),
        ] {
            let hyper: Vec<&str> = SMALL.lines().filter(|line| !more.contains(line.split(' ').next().unwrap_or(line))).collect();
            let mut net = rnn(dims, levels, &format!("{layer}\n{}\n{more}", hyper.join("\n")))?;
            // One image, and more than are drawn side by side.
            for count in [1, 11] {
                let hot = labels_in_turn(count);
                let inputs = [("labels", &hot[..])];
                let inputs: &[_] = if more.contains("conditional") { &inputs } else { &[] };
                let job = Job { count, seed: 17, first: 5, temperature: 0.9, keep: None, inputs };
                let cached = net.draw(Method::Cached, &job)?;
                assert_eq!(cached, net.draw(Method::Naive, &job)?, "{layer}, {dims:?}, {levels} levels, {more}, {count} images");
                let kept: Vec<bool> = (0..net.item()).map(|i| i * 7 % 5 < 2).collect();
                let given = net.noise(count, 8);
                let job = Job { keep: Some((&given, &kept)), ..job };
                let cached = net.draw(Method::Cached, &job)?;
                assert_eq!(cached, net.draw(Method::Naive, &job)?, "{layer}, {dims:?}, {levels} levels, {more}, completed");
                let stays = |(i, value): (usize, &f32)| !kept[i % kept.len()] || *value == given[i];
                assert!(cached.images.iter().enumerate().all(stays), "{layer}, {dims:?}: what was given did not stay");
            }
        }
    }
    Ok(())
}

/// Stops a job when it was asked so often, and notes what it was told of.
struct Impatient {
    patience: usize,
    asked: AtomicUsize,
    told: Mutex<Vec<(usize, Vec<f32>)>>,
}

impl Watch for Impatient {
    fn stops(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.patience
    }

    fn wants(&self) -> bool {
        true
    }

    fn drawn(&self, first: usize, item: usize, images: &[f32], positions: usize) {
        assert_eq!((first % 2, item, images.len() % item), (0, 20, 0));
        self.told.lock().expect("a list").push((positions, images.to_vec()));
    }
}

#[test]
fn a_job_is_given_up_once_it_is_told_so_and_tells_how_far_it_is() -> Result<()> {
    for method in [Method::Cached, Method::Naive] {
        let mut net = rnn([5, 4, 1], 2, SMALL)?;
        let mut sampler = RasterSampler::new(&Device::CPU, net.model.as_ref(), &net.state, Weights::Current, method).wait()?;
        let job = Job { count: 2, seed: 17, first: 0, temperature: 1.0, keep: None, inputs: &[] };
        let watch = |patience| Impatient { patience, asked: AtomicUsize::new(0), told: Mutex::default() };
        for patience in [0, 3] {
            let given_up = sampler.sample_watched(net.model.as_ref(), &mut net.state, &job, &watch(patience)).wait()?;
            assert_eq!(given_up, None, "{method:?}");
        }
        let patient = watch(usize::MAX);
        let drawn = sampler.sample_watched(net.model.as_ref(), &mut net.state, &job, &patient).wait()?.expect("images");
        let told = patient.told.into_inner().expect("a list");
        if method == Method::Cached {
            assert_eq!(told.iter().map(|(positions, _)| *positions).collect::<Vec<_>>(), [4, 8, 12, 16, 20], "row by row");
            let so_far = |images: &[f32], positions: usize| images.chunks(20).flat_map(|i| i[..positions].to_vec()).collect::<Vec<_>>();
            assert!(told.iter().all(|(positions, images)| so_far(images, *positions) == so_far(&drawn.images, *positions)));
        }
    }
    Ok(())
}

#[test]
fn the_sampler_keeps_the_rows_that_are_read_and_no_more() -> Result<()> {
    for layer in LAYERS {
        let net = rnn([28, 28, 1], 2, &format!("{layer}\npreset = 'small'"))?;
        let graph = need::raster(net.model.as_ref())?.raster_graph(1)?;
        let program = RasterProgram::new(&graph, net.model.state())?;
        let rows: Vec<usize> = program.features.iter().map(|feature| feature.rows).collect();
        // The image for the first kernel of seven, then hidden states and what they stand beside for the row below.
        assert_eq!(rows[0], 4, "{layer}");
        assert!(rows[1..].iter().all(|rows| *rows <= 2), "{layer}: {rows:?}");
        let numbers: usize = program.features.iter().map(|feature| feature.channels * feature.places(28)).sum();
        let whole: usize = program.features.iter().map(|feature| feature.channels * 28 * 28).sum();
        assert!(numbers < whole / 10, "{layer}: {numbers} of {whole}");
    }
    Ok(())
}

#[test]
fn it_learns_one_batch_by_heart() -> Result<()> {
    for layer in LAYERS {
        let count = 8;
        // Four columns: a Row LSTM's triangle is then the whole of the rows above, and every image can be told from the others.
        let mut net = rnn([10, 4, 1], 2, &format!("{layer}\nhidden = 16\nhead = 24"))?;
        let images = net.noise(count, 30);
        let recipe = TrainRecipe::new(&net.model.defaults());
        let graph = net.model.train_graph(count, &|group| recipe.update(group))?;
        let mut program = Program::new(&Device::CPU, &graph, &net.state, Weights::Current).wait()?;
        program.write("x", &images)?;
        let mut last = 0.0;
        for at in 1..=2000 {
            let rate = 1e-2 * 0.998f32.powi(at as i32);
            let step = Step { step: at, learning_rate: [rate; 4], updates: [at; 4], ..Step::default() };
            program.run(&mut net.state, &step).wait()?;
            last = f64::from(program.read(&net.state, "loss").wait()?[0]);
        }
        // Images that nothing tells apart at first cost at least the choice among them: ln 8 nats.
        let least = (count as f64).ln();
        assert!(last > least - 1e-3 && last < 1.1 * least, "{layer}: {last} nats, and {least} is the least");
    }
    Ok(())
}

#[test]
fn labels_shift_the_gates_of_every_layer() -> Result<()> {
    for layer in LAYERS {
        let hyper = toml::from_str(&format!("{layer}\n{SMALL}\nlayers = 1\nconditional = true")).expect("hyper-parameters");
        let model = model::build("pixelrnn", &hyper, &data([4, 5, 1], 2, 3))?;
        assert!(model.conditional());
        let mut state = State::initial(&Device::CPU, model.state(), 3)?;
        let graph = need::raster(model.as_ref())?.raster_graph(2)?;
        let mut program = Program::new(&Device::CPU, &graph, &state, Weights::Current).wait()?;
        let image: Vec<f32> = (0..20).map(|i| f32::from(i % 3 == 0)).collect();
        program.write("x", &[image.clone(), image].concat())?;
        let mut logits = |labels: [f32; 6], state: &mut State| -> Result<Vec<f32>> {
            program.write("labels", &labels)?;
            program.run(state, &Step::default()).wait()?;
            program.read(state, "logits").wait()
        };
        let both = logits([1.0, 0.0, 0.0, 0.0, 0.0, 1.0], &mut state)?;
        assert!(both[..20].iter().zip(&both[20..]).any(|(a, b)| a != b), "{layer}: labels change nothing");
        // Without what labels add, one is as good as another.
        for id in model.state().ids().into_iter().filter(|id| model.state().spec(*id).name.contains("label")) {
            let zeros = vec![0.0; model.state().spec(id).shape.len()];
            state.write(id, Arena::Value, &zeros)?;
        }
        let both = logits([1.0, 0.0, 0.0, 0.0, 0.0, 1.0], &mut state)?;
        assert_eq!(both[..20], both[20..], "{layer}");
    }
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |dims, levels: usize, hyper: &str, words: &[&str]| {
        let error = Net::of("pixelrnn", data(dims, levels, 0), levels, hyper).err().unwrap_or_else(|| panic!("{hyper} was accepted"));
        assert!(matches!(error, Error::Usage(_)), "{error:?}");
        let said = error.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    refused([1, 28, 1], 2, "", &["1×28", "pixelcnn"]);
    refused([28, 1, 1], 2, "", &["28×1", "pixelcnn"]);
    refused([4, 4, 3], 2, "hidden = 7", &["hidden", "3 colours"]);
    refused([4, 4, 1], 2, "kernel = 4", &["kernel", "odd", "4"]);
    refused([4, 4, 1], 2, "first_kernel = 0", &["first_kernel", "odd"]);
    refused([4, 4, 1], 2, "first_kernel = 1", &["first_kernel", "3", "not 1"]);
    refused([4, 4, 1], 2, "layers = 0", &["layers"]);
    refused([4, 4, 1], 2, "hidden = 0", &["hidden"]);
    refused([4, 4, 1], 2, "conditional = true", &["labels"]);
    refused([4, 4, 1], 2, "layer = 'column'", &["column", "row", "diagonal"]);
    refused([4, 4, 1], 257, "", &["levels", "256", "257"]);
}
