// Levels under a mixture of logistics. Needs shared/functions, COMPONENTS, and TOP: the levels less one.

// Where a level stands, in [-1, 1].
fn level_place(level: f32) -> f32 {
    return (2.0 * level - TOP) * (1.0 / TOP);
}

// A level's upper and lower edge in scales from the mean. Two levels share an edge to the last bit, so that their masses leave nothing out.
fn level_edges(level: f32, mean: f32, inverse: f32) -> vec2<f32> {
    return ((2.0 * level - TOP + vec2<f32>(1.0, -1.0)) * (1.0 / TOP) - mean) * inverse;
}

// The width of a level in scales.
fn level_width(inverse: f32) -> f32 {
    return max(2.0 * (1.0 / TOP) * inverse, 1e-30);
}

// 1 - e^-x for x > 0, to the last places however small x is.
fn rise(x: f32) -> f32 {
    let t = tanh_stable(0.5 * x);
    return 2.0 * t / (1.0 + t);
}

// One over the scale, given its logarithm.
fn inverse_scale(log_scale: f32) -> f32 {
    return exp(-max(log_scale, {{LEAST}}));
}

// ln p of a level: ln(s(a) - s(b)) = ln s(a) + ln s(-b) + ln(1 - e^(b-a)) for the logistic function s, its upper edge a and its lower b; at
// the ends of the levels one of the first two alone.
fn level_ln_p(level: f32, mean: f32, inverse: f32) -> f32 {
    let edges = level_edges(level, mean, inverse);
    let below = -softplus(-edges.x);
    let above = -softplus(edges.y);
    let between = below + above + log(rise(level_width(inverse)));
    return select(select(between, above, level >= TOP), below, level <= 0.0);
}

// ln p of each component given the pixel's colours so far.
var<private> weights: array<f32, {{COMPONENTS}}>;

// Takes off ln sum exp, and returns it.
fn normalise() -> f32 {
    var top = weights[0];
    for (var k = 1u; k < COMPONENTS; k++) {
        top = max(top, weights[k]);
    }
    var total = 0.0;
    for (var k = 0u; k < COMPONENTS; k++) {
        total += exp(weights[k] - top);
    }
    let whole = top + log(total);
    for (var k = 0u; k < COMPONENTS; k++) {
        weights[k] -= whole;
    }
    return whole;
}
