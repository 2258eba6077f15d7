// Adjusts a loss scale [factor, updates since it changed] after an update: halved where a gradient was no finite number, doubled after
// GROWTH_INTERVAL updates in a row without one.
// Dispatch: one invocation.

{{BINDINGS}}
//!include shared/finite

@compute @workgroup_size(1)
fn main() {
    let scale = loss_scale[0];
    let since = loss_scale[1] + 1.0;
    if !is_finite(squares[0]) {
        loss_scale[0] = max(scale * 0.5, {{LEAST}});
        loss_scale[1] = 0.0;
    } else if since >= {{GROWTH_INTERVAL}} {
        loss_scale[0] = min(scale * 2.0, {{MOST}});
        loss_scale[1] = 0.0;
    } else {
        loss_scale[1] = since;
    }
}
