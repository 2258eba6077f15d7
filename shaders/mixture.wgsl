// -ln p of the values of a pixel under a mixture of discretised logistics, each given the colours before it, or (GRADIENT) the gradient of
// the parameters given that of -ln p (Salimans et al., 2017). The same steps as src/native/mixture.rs.
// Dispatch: one invocation a pixel, workgroups in rows of GRID_X.
//!include shared/functions

{{BINDINGS}}
const PIXELS: u32 = {{PIXELS}}u;
const COMPONENTS: u32 = {{COMPONENTS}}u;
const COLOURS: u32 = {{COLOURS}}u;
const PARAMETERS: u32 = {{PARAMETERS}}u;
// Channels of a colour: means, log scales and, where there are several colours, coefficients.
const COLOUR: u32 = {{COLOUR}}u;
const TOP: f32 = {{TOP}};
//!include shared/mixture

fn mean_of(pixel: u32, colour: u32, k: u32) -> f32 {
    let first = pixel * PARAMETERS + COMPONENTS + k;
    var mean = input_parameters[first + colour * COLOUR];
//!if SEVERAL
    for (var earlier = 0u; earlier < colour; earlier++) {
        let place = colour * (colour - 1u) / 2u + earlier;
        let coefficient = tanh_stable(input_parameters[first + place * COLOUR + 2u * COMPONENTS]);
        mean += coefficient * level_place(input_levels[pixel * COLOURS + earlier]);
    }
//!end
    return mean;
}

fn log_scale_of(pixel: u32, colour: u32, k: u32) -> f32 {
    return input_parameters[pixel * PARAMETERS + 2u * COMPONENTS + colour * COLOUR + k];
}

//!if GRADIENT
// The derivatives of ln p by the mean and by the log scale.
fn slopes(level: f32, mean: f32, log_scale: f32) -> vec2<f32> {
    let inverse = inverse_scale(log_scale);
    let edges = level_edges(level, mean, inverse);
    let above = sigmoid(-edges.x);
    let below = sigmoid(edges.y);
    let by = vec2<f32>(edges.x * above, edges.y * below);
    let width = level_width(inverse);
    let shrinks = width * exp(-width) / rise(width);
    let between = vec2<f32>(below - above, by.y - by.x - shrinks);
    let end = select(between, vec2<f32>(below, by.y), level >= TOP);
    let slope = select(end, vec2<f32>(-above, -by.x), level <= 0.0);
    return vec2<f32>(slope.x * inverse, select(slope.y, 0.0, log_scale < {{LEAST}}));
}

// The components' probabilities after so many colours.
var<private> posterior: array<f32, {{POSTERIOR}}>;
//!end

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let pixel = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    if pixel >= PIXELS {
        return;
    }
    for (var k = 0u; k < COMPONENTS; k++) {
        weights[k] = input_parameters[pixel * PARAMETERS + k];
    }
    var whole = normalise();
    for (var colour = 0u; colour < COLOURS; colour++) {
        let level = input_levels[pixel * COLOURS + colour];
        for (var k = 0u; k < COMPONENTS; k++) {
//!if GRADIENT
            posterior[colour * COMPONENTS + k] = exp(weights[k]);
//!end
            weights[k] += level_ln_p(level, mean_of(pixel, colour, k), inverse_scale(log_scale_of(pixel, colour, k)));
        }
        whole = normalise();
//!if !GRADIENT
        output[pixel * COLOURS + colour] = -whole;
//!end
    }
//!if GRADIENT
    // After j colours the components have the probabilities q_j, and u_j comes from colour j: the gradient of ln p of colour j in a component
    // is G_j = G_(j+1) + (u_(j+1) - u_j) q_j, from -u q on for the last, and that of its logit is G_1 + u_1 q_0.
    for (var k = 0u; k < COMPONENTS; k++) {
        var own = 0.0;
        var next = 0.0;
        var q = exp(weights[k]);
        for (var left = COLOURS; left > 0u; left--) {
            let colour = left - 1u;
            let upstream = input_upstream[pixel * COLOURS + colour];
            own += (next - upstream) * q;
            next = upstream;
            q = posterior[colour * COMPONENTS + k];
            let level = input_levels[pixel * COLOURS + colour];
            let by = own * slopes(level, mean_of(pixel, colour, k), log_scale_of(pixel, colour, k));
            let first = pixel * PARAMETERS + COMPONENTS + k;
            output[first + colour * COLOUR] = by.x;
            output[first + colour * COLOUR + COMPONENTS] = by.y;
//!if SEVERAL
            for (var earlier = 0u; earlier < colour; earlier++) {
                let at = first + (colour * (colour - 1u) / 2u + earlier) * COLOUR + 2u * COMPONENTS;
                let t = tanh_stable(input_parameters[at]);
                output[at] = by.x * level_place(input_levels[pixel * COLOURS + earlier]) * (1.0 - t * t);
            }
//!end
        }
        output[pixel * PARAMETERS + k] = own + next * q;
    }
//!end
}
