// What a cell gives back: dz of its gates, given dh and what the next cell of its lane asked of its state; and what it asks of the one before.
struct Given {
    dz: vec4<f32>,
    d_before: f32,
}

fn cell_adjoint(image: u32, step: u32, lane: u32, unit: u32, dh: f32, asked: f32) -> Given {
    let cell = image * CELLS + place(step, lane);
    let g = cell * GATES + unit;
    var before = initial[CARRIED + unit];
    if step > 0u && is_cell(step - 1u, lane) {
        before = cells[(image * CELLS + place(step - 1u, lane)) * UNITS + unit];
    }
//!if GRU
    let r = gates[g];
    let update = gates[g + UNITS];
    let reset = gates[g + 2u * UNITS];
    let candidate = tanh_stable(gates[g + 3u * UNITS] + r * reset);
    let d = asked + dh;
    let dn = d * (1.0 - update) * (1.0 - candidate * candidate);
    let dz = vec4<f32>(dn * reset * r * (1.0 - r), d * (before - candidate) * update * (1.0 - update), dn * r, dn);
    return Given(dz, d * update);
//!else
    let i = gates[g];
    let f = gates[g + UNITS];
    let candidate = gates[g + 2u * UNITS];
    let o = gates[g + 3u * UNITS];
    let squashed = tanh_stable(cells[cell * UNITS + unit]);
    let dc = asked + dh * o * (1.0 - squashed * squashed);
    let dz = vec4<f32>(
        dc * candidate * i * (1.0 - i),
        dc * before * f * (1.0 - f),
        dc * i * (1.0 - candidate * candidate),
        dh * squashed * o * (1.0 - o),
    );
    return Given(dz, dc * f);
//!end
}
