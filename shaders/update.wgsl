// One optimiser step over a group's whole arena: Adam (Kingma and Ba, 2015), RMSprop (Tieleman and Hinton, 2012) or momentum, each with
// the gradient clipped and the weights decayed first (Loshchilov and Hutter, 2019), then the clamp and the moving average. Bias
// corrections come from the host in double precision, with the rate and what decay leaves of a weight (Step.updates[UPDATE]).
// Dispatch: one invocation for four elements (arenas are multiples of 64), workgroups in rows of GRID_X.
//!include shared/step
//!include shared/finite

{{BINDINGS}}
const COUNT: u32 = {{COUNT}}u;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let i = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    if i >= COUNT {
        return;
    }
    let rate = step.updates[{{UPDATE}}u].x;
    var g = gradient[i];
//!if SCALED
    // Where one gradient is no finite number, the whole update is left out.
    if !is_finite(squares[0]) {
        return;
    }
    let unscale = 1.0 / loss_scale[0];
    g *= unscale;
//!end
//!if CLIP
    // Scaled down to the limit where the whole gradient is longer.
//!if SCALED
    let norm = sqrt(squares[0]) * unscale;
//!else
    let norm = sqrt(squares[0]);
//!end
    if norm > {{CLIP}} {
        g *= {{CLIP}} / norm;
    }
//!end
//!if CLIP_VALUE
    g = clamp(g, vec4<f32>(-{{CLIP_VALUE}}), vec4<f32>({{CLIP_VALUE}}));
//!end
    var w = value[i];
//!if DECAYED
    w *= step.updates[{{UPDATE}}u].z;
//!end
//!if ADAM
    let m = first[i] * {{DECAY_A}} + g * {{REST_A}};
    let v = second[i] * {{DECAY_B}} + g * g * {{REST_B}};
    first[i] = m;
    second[i] = v;
    w -= rate * m / (sqrt(v) / step.updates[{{UPDATE}}u].y + {{EPSILON}});
//!end
//!if RMSPROP
    let v = second[i] * {{DECAY_B}} + g * g * {{REST_B}};
    second[i] = v;
    w -= rate * g / (sqrt(v) + {{EPSILON}});
//!end
//!if SGD
    let m = first[i] * {{DECAY_A}} + g;
    first[i] = m;
    w -= rate * m;
//!end
//!if CLAMP
    w = clamp(w, vec4<f32>(-{{CLAMP}}), vec4<f32>({{CLAMP}}));
//!end
    value[i] = w;
//!if AVERAGE
    average[i] = average[i] * step.ema_decay + w * step.ema_fresh;
//!end
}
