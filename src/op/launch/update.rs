//! Optimiser steps.

use super::reduce::{Chain, Kind, Source};
use super::{Defines, flag, flat, text};
use crate::graph::{Rule, Update};
use crate::shader::{ArenaKind, Binding, Bindings, Launch, Stage, Target};

/// An update of a group whose arenas hold `len` elements; `number` counts the plan's updates.
pub(crate) fn update(update: &Update, number: usize, len: usize, target: &Target) -> Launch {
    if len == 0 {
        return Launch::default();
    }
    let mut launch = Launch::default();
    if update.clip_norm.is_some() {
        // The squared norm, in scratch 0.
        let mut chain = Chain { kind: Kind::Squares, target, launch: Launch { scratch: vec![1], ..Launch::default() } };
        chain.run(Source::Buffer(Binding::Arena(ArenaKind::Gradient)), [1, len, 1], Binding::Scratch(0));
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
    bindings.bind(Binding::Arena(ArenaKind::Value), "value", array);
    bindings.bind(Binding::Arena(ArenaKind::Gradient), "gradient", array);
    if adam || sgd {
        bindings.bind(Binding::Arena(ArenaKind::First), "first", array);
    }
    if adam || rmsprop {
        bindings.bind(Binding::Arena(ArenaKind::Second), "second", array);
    }
    if update.average {
        bindings.bind(Binding::Arena(ArenaKind::Average), "average", array);
    }
    if update.clip_norm.is_some() {
        bindings.bind(Binding::ScratchRead(0), "squares", "array<f32>");
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
        ("CLIP", update.clip_norm.map_or_else(String::new, number_of)),
        ("CLAMP", update.clamp.map_or_else(String::new, number_of)),
        ("AVERAGE", flag(update.average)),
    ];
    let flops = 12 * len as u64;
    launch.stages.push(Stage { kernel: "update", defines, bindings, groups: flat.groups, flops, bytes: arenas * 6 * len as u64 });
    launch
}
