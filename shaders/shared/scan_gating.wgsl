// How a cell's gates make its state, and the state its hidden one: of an LSTM i, f, g, o, of a GRU r, z, m, n (src/tensor/gating.rs).

// The value of gate `gate`, counted over all units, from its sum; m and n of a GRU stay as they are.
fn gate_value(sum: f32, gate: u32) -> f32 {
//!if GRU
    return select(sum, sigmoid(sum), gate < 2u * UNITS);
//!else
    return select(sigmoid(sum), tanh_stable(sum), gate / UNITS == 2u);
//!end
}

// What a unit goes on with, from the values of its gates and what it went on from.
fn next_state(gates: vec4<f32>, before: f32) -> f32 {
//!if GRU
    let candidate = tanh_stable(gates.w + gates.x * gates.z);
    return candidate + gates.y * (before - candidate);
//!else
    return gates.y * before + gates.x * gates.z;
//!end
}

// Its hidden state.
fn hidden_state(gates: vec4<f32>, state: f32) -> f32 {
//!if GRU
    return state;
//!else
    return gates.w * tanh_stable(state);
//!end
}
