use kiln::data::{Binarization, Kind};
use kiln::graph::*;
use kiln::model::{self, DataSpec};
use kiln::runtime::*;
use std::collections::BTreeMap;
use std::time::Instant;

fn main() -> kiln::Result<()> {
    let data = DataSpec { dims: [28, 28, 1], classes: 0, kind: Kind::Binary, binarization: Binarization::Static, mean: None };
    let model = model::build("pixelcnn", &toml::from_str("preset = \"tiny\"").unwrap(), &data)?;
    println!("params {}", model.state().parameters(true));
    let update = |group| Update {
        group,
        rule: Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
        clip_norm: None,
        clamp: None,
        average: false,
    };
    let graph = model.train_graph(64, &update)?;
    let mut state = State::initial(&Device::Cpu, model.state(), 1)?;
    let mut program = Program::new(&Device::Cpu, &graph, &state, Weights::Current)?;
    println!("MB {}", program.bytes() / 1_000_000);
    let x: Vec<f32> = (0..64 * 784).map(|i| f32::from((i * 7919 % 13) < 4)).collect();
    program.write("x", &x)?;
    for s in 1..12u32 {
        let mut step = Step { seed: 1, step: s, ..Default::default() };
        step.learning_rate = [1e-3; 4];
        step.updates = [s; 4];
        let t = Instant::now();
        program.run(&mut state, &step)?;
        println!("{s} {:.4} loss {:?}", t.elapsed().as_secs_f64(), program.read(&state, "loss")?);
    }
    let Program::Cpu(p) = &mut program;
    let State::Cpu(_, st) = &mut state;
    let mut by: BTreeMap<String, (f64, usize)> = BTreeMap::new();
    let plan = p.plan().clone();
    p.run_observed(st, &Step::default(), |i, s| {
        let name = match &plan.actions[i] {
            Action::Compute { op, shapes, shape, .. } => {
                if op.name() == "map" {
                    format!("{op:?}")
                } else {
                    format!("{} {:?} -> {}", op.name(), shapes.iter().take(2).collect::<Vec<_>>(), shape)
                }
            }
            Action::Copy { .. } => "copy".into(),
            Action::Update(_) => "update".into(),
        };
        let e = by.entry(name).or_default();
        e.0 += s;
        e.1 += 1;
    });
    let mut rows: Vec<_> = by.into_iter().collect();
    rows.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
    for (n, (s, c)) in rows.iter().take(24) {
        println!("{:8.2} ms {c:4} {n}", s * 1e3);
    }
    println!("actions {}", plan.actions.len());
    Ok(())
}
