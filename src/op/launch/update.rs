//! Optimiser steps.

use super::reduce::{Chain, Kind, Source};
use super::{Defines, flag, flat, text};
use crate::graph::{GROWTH_INTERVAL, Rule, SCALES, Update};
use crate::shader::{Binding, Bindings, Launch, Stage, Target};
use crate::tensor::Arena;

/// An update of a group whose arenas hold `len` elements; `number` counts the plan's updates. Its loss scale is input 0 and the output.
pub(crate) fn update(update: &Update, number: usize, len: usize, target: &Target) -> Launch {
    if len == 0 {
        return Launch::default();
    }
    let mut launch = Launch::default();
    let scaled = update.loss_scale.is_some();
    if update.clip_norm.is_some() || scaled {
        // The squared norm, in scratch 0.
        let mut chain = Chain { kind: Kind::Squares, count: len, target, launch: Launch { scratch: vec![1], ..Launch::default() } };
        chain.run(Source::Buffer(Binding::Arena(Arena::Gradient)), [1, len, 1], Binding::Scratch(0));
        launch = chain.launch;
    }
    let (a, b, epsilon) = match update.rule {
        Rule::Adam { beta1, beta2, epsilon } => (beta1, beta2, epsilon),
        Rule::RmsProp { decay, epsilon } => (0.0, decay, epsilon),
        Rule::Sgd { momentum } => (momentum, 0.0, 0.0),
    };
    let adam = matches!(update.rule, Rule::Adam { .. });
    let rmsprop = matches!(update.rule, Rule::RmsProp { .. });
    let sgd = matches!(update.rule, Rule::Sgd { .. });
    let array = "array<vec4<f32>>";
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Step, "step", "Step");
    bindings.bind(Binding::Arena(Arena::Value), "value", array);
    bindings.bind(Binding::Arena(Arena::Gradient), "gradient", array);
    if adam || sgd {
        bindings.bind(Binding::Arena(Arena::First), "first", array);
    }
    if adam || rmsprop {
        bindings.bind(Binding::Arena(Arena::Second), "second", array);
    }
    if update.average {
        bindings.bind(Binding::Arena(Arena::Average), "average", array);
    }
    if update.clip_norm.is_some() || scaled {
        bindings.bind(Binding::ScratchRead(0), "squares", "array<f32>");
    }
    if scaled {
        bindings.bind(Binding::Input(0), "loss_scale", "array<f32>");
    }
    let arenas = bindings.len() as u64;
    let (bindings, declared) = bindings.finish();
    let flat = flat(len / 4, target);
    let number_of = |v: f32| format!("{v:?}f");
    let rest = |v: f32| format!("{:?}f", (1.0 - f64::from(v)) as f32);
    let defines: Defines = vec![
        ("BINDINGS", declared),
        ("COUNT", text(len / 4)),
        ("THREADS", text(flat.threads)),
        ("GRID_X", text(flat.grid_x)),
        ("UPDATE", text(number)),
        ("ADAM", flag(adam)),
        ("RMSPROP", flag(rmsprop)),
        ("SGD", flag(sgd)),
        ("DECAY_A", number_of(a)),
        ("REST_A", rest(a)),
        ("DECAY_B", number_of(b)),
        ("REST_B", rest(b)),
        ("EPSILON", number_of(epsilon)),
        ("SCALED", flag(scaled)),
        ("CLIP", update.clip_norm.map_or_else(String::new, number_of)),
        ("CLIP_VALUE", update.clip_value.map_or_else(String::new, number_of)),
        ("DECAYED", flag(update.weight_decay > 0.0)),
        ("CLAMP", update.clamp.map_or_else(String::new, number_of)),
        ("AVERAGE", flag(update.average)),
    ];
    let flops = 12 * len as u64;
    launch.stages.push(Stage { kernel: "update", defines, bindings, groups: flat.groups, flops, bytes: arenas * 6 * len as u64 });
    if scaled {
        launch.stages.push(adjust_loss_scale());
    }
    launch
}

fn adjust_loss_scale() -> Stage {
    let mut bindings = Bindings::default();
    bindings.bind(Binding::Output, "loss_scale", "array<f32>");
    bindings.bind(Binding::ScratchRead(0), "squares", "array<f32>");
    let (bindings, declared) = bindings.finish();
    let [least, most] = SCALES.map(|s| format!("{s:?}f"));
    let defines = vec![("BINDINGS", declared), ("LEAST", least), ("MOST", most), ("GROWTH_INTERVAL", format!("{GROWTH_INTERVAL:?}f"))];
    Stage { kernel: "loss_scale", defines, bindings, groups: [1; 3], flops: 0, bytes: 12 }
}
