//! The U-Net of diffusion models: its parameters against the papers, its numbers against PyTorch's, and what does not fit.

mod support;

use kiln::graph::{Graph, NodeId, StateSpec, Step};
use kiln::model::diffusion::{UNet, UNetPreset, UNetSize};
use kiln::nn::{Start, TimeWaves, UpsampledConv2d};
use kiln::op::Taps;
use kiln::runtime::{Device, Program, State, Weights};
use kiln::tensor::Arena;
use kiln::wait::Wait;
use kiln::{Error, Result};
use support::Bench;

fn network(size: &UNetSize, dims: [usize; 3], classes: usize, outputs: usize) -> Result<(StateSpec, UNet)> {
    let mut spec = StateSpec::default();
    let group = spec.group("");
    let net = UNet::new(size, &mut spec, group, dims, classes, outputs)?;
    Ok((spec, net))
}

#[test]
fn parameters_are_those_of_the_papers() -> Result<()> {
    use UNetPreset::{CifarSmall, Ddpm, Iddpm, Small, Tiny};
    for (preset, dims, outputs, plain, labelled) in [
        (Tiny, [28, 28, 1], 1, 190_369, 191_073),
        (Small, [28, 28, 1], 1, 1_742_881, 1_744_289),
        (CifarSmall, [32, 32, 3], 3, 6_949_187, 6_952_003),
        (Ddpm, [32, 32, 3], 3, 35_746_307, 35_751_939),
        (Iddpm, [32, 32, 3], 6, 52_546_438, 52_552_070),
    ] {
        for (classes, want) in [(0, plain), (10, labelled)] {
            let (spec, _) = network(&preset.size(dims[0]), dims, classes, outputs)?;
            assert_eq!(spec.parameters(true), want, "{preset:?} of {classes} classes");
        }
    }
    Ok(())
}

/// The CPU, and an adapter where there is one, with the tolerance of each.
fn devices() -> Vec<(Device, f32)> {
    let mut devices = vec![(Device::CPU, 1e-5)];
    match Device::open("gpu").wait() {
        Ok(device) => devices.push((device, 1e-4)),
        Err(reason) => assert!(std::env::var_os("KILN_REQUIRE_GPU").is_none(), "{reason}"),
    }
    devices
}

/// Networks of PyTorch's weights make of images what PyTorch makes of them, and so do their gradients: `tests/fixtures/diffusion_unet.py`
/// wrote both.
#[test]
fn pytorchs_weights_give_pytorchs_outputs_and_gradients() -> Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/diffusion_unet.safetensors");
    let bytes = std::fs::read(&path).expect("the fixture");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let values = |name: &str| -> Vec<f32> {
        let data = file.tensor(name).unwrap_or_else(|_| panic!("{name}")).data();
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    // Channels come last here.
    let placed = |name: &str| -> Vec<f32> {
        let (values, shape) = (values(name), file.tensor(name).expect("a tensor").shape().to_vec());
        let [n, c, h, w] = shape[..] else { return values };
        let at = |i: usize| (i / (h * w * c) * c + i % c) * h * w + i / c % (h * w);
        (0..n * c * h * w).map(|i| values[at(i)]).collect()
    };
    let count = values("classes").len();
    let hot: Vec<f32> = values("classes").iter().flat_map(|class| (0..3).map(move |c| f32::from(u8::from(c as f32 == *class)))).collect();
    let watched = ["down.0.block.conv1.weight", "time.0.weight", "middle.0.attention.qkv.weight", "up.1.upsample.weight"];
    for (device, tolerance) in devices() {
        for (prefix, dims, classes, outputs, size) in [
            (
                "film",
                [8, 6, 1],
                2,
                2,
                UNetSize {
                    channels: 4,
                    multipliers: vec![1, 2],
                    blocks: 1,
                    attention: vec![4],
                    heads: 2,
                    head_channels: None,
                    groups: None,
                    film: true,
                },
            ),
            (
                "sum",
                [8, 4, 3],
                0,
                3,
                UNetSize {
                    channels: 4,
                    multipliers: vec![1, 1, 2],
                    blocks: 1,
                    attention: vec![8, 4],
                    heads: 1,
                    head_channels: None,
                    groups: None,
                    film: false,
                },
            ),
        ] {
            let (spec, net) = network(&size, dims, classes, outputs)?;
            let mut graph = Graph::new();
            let [h, w, c] = dims;
            let x = graph.input("x", [count, h, w, c]);
            let time = graph.input("time", [count]);
            let labels = (classes > 0).then(|| graph.input("labels", [count, classes + 1]));
            let y = net.apply(&mut graph, &spec, x, time, labels)?;
            let upstream = graph.input("upstream", [count, h, w, outputs]);
            let dot = graph.mul(y, upstream)?;
            let loss = graph.sum_all(dot)?;
            let id = |name: &str| spec.ids().into_iter().find(|id| spec.spec(*id).name == name).expect("a tensor");
            let nodes: Vec<NodeId> = watched.iter().map(|name| graph.state(&spec, id(name))).collect();
            graph.output("y", y);
            for (name, gradient) in watched.iter().zip(graph.gradients(loss, &nodes)?) {
                graph.output(name, gradient);
            }
            let mut state = State::initial(&device, &spec, 1)?;
            let mut gradients = State::initial(&device, &spec, 1)?;
            let trained = spec.trained(0);
            assert_eq!(trained.len(), file.names().iter().filter(|n| is_weight(n, prefix)).count());
            for id in trained {
                let name = format!("{prefix}.{}", spec.spec(id).name);
                kiln::train::checkpoint::read_tensor(&path, &file, &name, &mut state, id, Arena::Value)?;
            }
            let mut program = Program::new(&device, &graph, &state, Weights::Current).wait()?;
            for (name, values) in [("x", placed(&format!("{prefix}.x"))), ("time", values(&format!("{prefix}.time")))] {
                program.write(name, &values)?;
            }
            program.write("upstream", &placed(&format!("{prefix}.upstream")))?;
            if classes > 0 {
                program.write("labels", &hot)?;
            }
            program.run(&mut state, &Step::default()).wait()?;
            let close = |name: &str, got: &[f32], want: &[f32]| {
                assert_eq!(got.len(), want.len(), "{name}");
                let scale = want.iter().fold(1.0f32, |m, v| m.max(v.abs()));
                let worst = got.iter().zip(want).map(|(g, w)| (g - w).abs() / scale).fold(0.0, f32::max);
                assert!(worst <= tolerance, "{}: {prefix} {name}: {worst}", device.name());
            };
            close("y", &program.read(&state, "y").wait()?, &placed(&format!("{prefix}.y")));
            for name in watched {
                // Read as a weight, a gradient is turned to the layout here.
                let own = id(name);
                kiln::train::checkpoint::read_tensor(
                    &path,
                    &file,
                    &format!("{prefix}.gradient.{name}"),
                    &mut gradients,
                    own,
                    Arena::Value,
                )?;
                close(name, &program.read(&state, name).wait()?, &gradients.read(own, Arena::Value).wait()?);
            }
        }
    }
    Ok(())
}

/// Whether a tensor of the fixture is a weight of a network.
fn is_weight(name: &str, prefix: &str) -> bool {
    let own = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
    own.is_some_and(|own| (own.ends_with(".weight") || own.ends_with(".bias")) && !own.starts_with("gradient."))
}

#[test]
fn an_upsampled_convolution_is_both_its_layers() -> Result<()> {
    for ([h, w], [c, d]) in [([3, 2], [2, 3]), ([4, 4], [16, 32]), ([1, 1], [3, 2])] {
        let mut b = Bench::new();
        let x = b.leaf([2, h, w, c]);
        let layer = UpsampledConv2d::new(&mut b.spec, 0, "layer", [h, w], [c, d], Start::Zero)?;
        let y = layer.apply(&mut b.graph, &b.spec, x)?;
        b.graph.output("y", y);
        // Weights of the checkpoint's kernel lie [tap, out, in]: so they do in the adjoint of a convolution that looks the other way.
        let weights = b.spec.ids().into_iter().find(|id| b.spec.spec(*id).name == "layer.weight").expect("weights");
        let kernel = b.graph.state(&b.spec, weights);
        let taps = Taps::dense([3, 3], 1, 1, [2 * h, 2 * w])?;
        let turned = Taps { offsets: taps.offsets.iter().map(|o| o.map(|v| -v)).collect(), ..taps };
        let wide = b.graph.upsample(x)?;
        let plain = b.graph.conv_transposed(wide, kernel, turned)?;
        b.graph.output("plain", plain);
        let upstream = b.leaf([2, 2 * h, 2 * w, d]);
        for (name, result) in [("merged", y), ("apart", plain)] {
            let dot = b.graph.mul(result, upstream)?;
            let loss = b.graph.sum_all(dot)?;
            for (of, gradient) in ["x", "kernel"].into_iter().zip(b.graph.gradients(loss, &[x, kernel])?) {
                b.graph.output(&format!("{name}.{of}"), gradient);
            }
        }
        let run = |output: &str| -> Result<Vec<f64>> {
            let device = Device::CPU;
            let mut state = State::initial(&device, &b.spec, 1)?;
            let values = support::normals(9 * c * d, 40).iter().map(|v| *v as f32).collect::<Vec<_>>();
            state.write(weights, Arena::Value, &values)?;
            for (k, (id, node)) in b.leaves.iter().enumerate() {
                let values: Vec<f32> = support::normals(b.graph.shape(*node).len(), k as u32 + 1).iter().map(|v| *v as f32).collect();
                state.write(*id, Arena::Value, &values)?;
            }
            let mut program = Program::new(&device, &b.graph, &state, Weights::Current).wait()?;
            program.run(&mut state, &Step::default()).wait()?;
            Ok(program.read(&state, output).wait()?.into_iter().map(f64::from).collect())
        };
        support::close(&run("y")?, &run("plain")?, 1e-5, "sums");
        for of in ["x", "kernel"] {
            support::close(&run(&format!("merged.{of}"))?, &run(&format!("apart.{of}"))?, 1e-5, of);
        }
    }
    Ok(())
}

#[test]
fn images_double_and_halve() -> Result<()> {
    let mut b = Bench::new();
    let x = b.leaf([2, 3, 2, 5]);
    let wide = b.graph.upsample(x)?;
    b.check_gradients(wide, 1e-6);
    let mut b = Bench::new();
    let x = b.leaf([2, 4, 6, 3]);
    let small = b.graph.average_pool(x)?;
    b.check_gradients(small, 1e-6);

    // Pixel by pixel, as they are defined.
    let ([n, h, w, c], values) = ([2, 4, 6, 3], support::normals(2 * 4 * 6 * 3, 1));
    let mut b = Bench::new();
    let x = b.leaf_of([n, h, w, c], values.clone());
    let (wide, small) = (b.graph.upsample(x)?, b.graph.average_pool(x)?);
    let back = b.graph.average_pool(wide)?;
    for (name, node) in [("wide", wide), ("small", small), ("back", back)] {
        b.graph.output(name, node);
    }
    let at = |n: usize, y: usize, x: usize, k: usize| values[((n * h + y) * w + x) * c + k];
    let each = |[h, w]: [usize; 2], f: &dyn Fn([usize; 4]) -> f64| -> Vec<f64> {
        (0..n * h * w * c).map(|i| f([i / c / w / h, i / c / w % h, i / c % w, i % c])).collect()
    };
    let nearest = each([2 * h, 2 * w], &|[n, y, x, k]| at(n, y / 2, x / 2, k));
    let mean =
        |[n, y, x, k]: [usize; 4]| [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(i, j)| at(n, 2 * y + i, 2 * x + j, k)).iter().sum::<f64>() / 4.0;
    support::close(&b.run::<f64>(true, "wide"), &nearest, 1e-12, "nearest neighbours");
    support::close(&b.run::<f64>(true, "small"), &each([h / 2, w / 2], &mean), 1e-12, "means of squares");
    support::close(&b.run::<f64>(true, "back"), &values, 1e-12, "there and back");

    let mut b = Bench::new();
    let (odd, flat) = (b.leaf([1, 3, 4, 2]), b.leaf([3, 4]));
    assert!(b.graph.average_pool(odd).is_err() && b.graph.average_pool(flat).is_err() && b.graph.upsample(flat).is_err());
    Ok(())
}

#[test]
fn times_are_told_by_waves_to_the_last_digit() -> Result<()> {
    let (width, times) = (32, [0.0, 1.0, 250.25, 999.0, 371.123_46, -3.5]);
    for (device, _) in devices() {
        let mut spec = StateSpec::default();
        let group = spec.group("");
        let waves = TimeWaves::new(&mut spec, group, "waves", width);
        let mut graph = Graph::new();
        let time = graph.input("time", [times.len()]);
        let y = waves.apply(&mut graph, &spec, time)?;
        graph.output("y", y);
        let mut state = State::initial(&device, &spec, 1)?;
        let mut program = Program::new(&device, &graph, &state, Weights::Current).wait()?;
        program.write("time", &times)?;
        program.run(&mut state, &Step::default()).wait()?;
        let got = program.read(&state, "y").wait()?;
        for (i, got) in got.iter().enumerate() {
            let (time, k) = (f64::from(times[i / width]), i % width);
            let half = width / 2;
            let angle = time * 10_000f64.powf(-((k % half) as f64) / half as f64);
            let want = if k < half { angle.cos() } else { angle.sin() };
            assert!((f64::from(*got) - want).abs() < 2e-6, "{}: wave {k} at {time}: {got}, not {want}", device.name());
        }
    }
    Ok(())
}

/// At first the network says nothing, whatever it sees: its last layer starts at zero.
#[test]
fn it_starts_at_zero_and_drops_only_where_it_is_let() -> Result<()> {
    let size = UNetSize {
        channels: 8,
        multipliers: vec![1, 1],
        blocks: 1,
        attention: vec![],
        heads: 1,
        head_channels: None,
        groups: None,
        film: true,
    };
    let (spec, net) = network(&size, [4, 4, 1], 0, 1)?;
    let run = |drops: f64, seed: u64, last: f32| -> Result<Vec<f32>> {
        let mut graph = Graph::new();
        graph.let_drop(drops);
        let (x, time) = (graph.input("x", [2, 4, 4, 1]), graph.input("time", [2]));
        let y = net.apply(&mut graph, &spec, x, time, None)?;
        graph.output("y", y);
        let mut state = State::initial(&Device::CPU, &spec, 1)?;
        for id in spec.ids().into_iter().filter(|id| spec.spec(*id).name.contains("conv2.") || spec.spec(*id).name.starts_with("output.")) {
            let values: Vec<f32> = (0..spec.spec(id).shape.len()).map(|i| last * (1.0 + (i % 7) as f32)).collect();
            state.write(id, Arena::Value, &values)?;
        }
        let mut program = Program::new(&Device::CPU, &graph, &state, Weights::Current).wait()?;
        program.write("x", &(0..32).map(|i| i as f32 / 16.0 - 1.0).collect::<Vec<_>>())?;
        program.write("time", &[3.0, 700.0])?;
        program.run(&mut state, &Step { seed, step: 1, ..Step::default() }).wait()?;
        program.read(&state, "y").wait()
    };
    assert!(run(0.0, 1, 0.0)?.iter().all(|v| *v == 0.0));
    let plain = run(0.0, 1, 0.1)?;
    assert!(plain.iter().all(|v| v.is_finite()) && plain.iter().any(|v| *v != 0.0));
    assert_eq!(plain, run(0.0, 2, 0.1)?);
    assert_ne!(run(0.5, 1, 0.1)?, plain);
    assert_ne!(run(0.5, 1, 0.1)?, run(0.5, 2, 0.1)?);
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() {
    let good = UNetSize {
        channels: 16,
        multipliers: vec![1, 2],
        blocks: 1,
        attention: vec![14],
        heads: 2,
        head_channels: None,
        groups: None,
        film: true,
    };
    assert!(network(&good, [28, 28, 1], 0, 1).is_ok());
    for (size, dims, words) in [
        (UNetSize { multipliers: vec![1, 2, 2, 2], ..good.clone() }, [28, 28, 1], "28×28 can be halved 2 times; take 3 of them"),
        (UNetSize { multipliers: vec![1, 2, 2], ..good.clone() }, [28, 30, 1], "28×30 can be halved 1 times"),
        (UNetSize { multipliers: vec![], ..good.clone() }, [28, 28, 1], "multipliers are 1 to 16 numbers"),
        (UNetSize { multipliers: vec![1, 0], ..good.clone() }, [28, 28, 1], "multipliers are 1 to 16 numbers"),
        (
            UNetSize { attention: vec![7], ..good.clone() },
            [28, 28, 1],
            "attention=7 is no height that the network works at; there are 28, 14",
        ),
        (UNetSize { heads: 3, ..good.clone() }, [28, 28, 1], "heads=3 takes a multiple of 12 channels, and there are 32"),
        (UNetSize { heads: 0, ..good.clone() }, [28, 28, 1], "heads=0"),
        (UNetSize { blocks: 0, ..good.clone() }, [28, 28, 1], "blocks must be at least 1"),
        (UNetSize { channels: 0, ..good.clone() }, [28, 28, 1], "filters must be at least 4"),
        (UNetSize { channels: 17, ..good.clone() }, [28, 28, 1], "filters=17 is odd"),
        (UNetSize { channels: 150, heads: 1, attention: vec![], ..good.clone() }, [28, 28, 1], "150 channels do not fall into 32 groups"),
    ] {
        match network(&size, dims, 0, 1).err() {
            Some(error @ Error::Usage(_)) => {
                let said = error.to_string();
                assert!(said.starts_with("diffusion: ") && said.contains(words), "{said}");
            }
            other => panic!("{words}: {other:?}"),
        }
    }
}
