// The same product as conv.wgsl without workgroup memory or barriers: for adapters that are CPUs, where both cost more than they save,
// and for destinations of so few channels that a tile would be mostly padding.
// Dispatch: flat, one invocation for TM positions by TN4 four-vectors of channels, channels fastest; z over phases.
//!include shared/functions
//!if RANDOM
//!include shared/step
//!include shared/philox
//!end

{{BINDINGS}}
//!include shared/gather
const TM: u32 = {{TM}}u;
const TN: u32 = {{TN4}}u * 4u;
// Invocations along the channels.
const ACROSS: u32 = (DEST_C + TN - 1u) / TN;

{{PROLOGUE}}
{{EPILOGUE}}
//!include shared/store
// Four weights along d; what lies behind the last channel is never stored.
//!if !TRANSPOSED
fn load_b(weight: u32, c: u32, d: u32) -> vec4<f32> {
    let row = (weight * SOURCE_C + c) * DEST_C;
//!if WIDE_D
    return weights[(row + min(d, DEST_C - 4u)) / 4u];
//!else
//!for L in 0..4
    let value{{L}} = weights[row + min(d + {{L}}u, DEST_C - 1u)];
//!end
    return vec4<f32>(value0, value1, value2, value3);
//!end
}
//!else
//!if WIDE_C
// Here they run along c: four of them for one d.
fn load_row(weight: u32, c: u32, d: u32) -> vec4<f32> {
    return weights[((weight * DEST_C + min(d, DEST_C - 1u)) * SOURCE_C + c) / 4u];
}
//!else
fn load_b(weight: u32, c: u32, d: u32) -> vec4<f32> {
//!for L in 0..4
    let value{{L}} = weights[(weight * DEST_C + min(d + {{L}}u, DEST_C - 1u)) * SOURCE_C + c];
//!end
    return vec4<f32>(value0, value1, value2, value3);
}
//!end
//!end

@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let id = (group.y * {{GRID_X}}u + group.x) * {{THREADS}}u + lane;
    let phase = phase_of(group.z);
    let m0 = id / ACROSS * TM;
    let d0 = id % ACROSS * TN;
    if m0 >= IMAGES * phase.extent.x * phase.extent.y {
        return;
    }
//!for I in 0..{{TM}}
    let from{{I}} = source_of(position(m0 + {{I}}u, phase.extent));
//!for V in 0..{{TN4}}
    var sum{{I}}_{{V}} = vec4<f32>(0.0);
//!end
//!end
    for (var t = 0u; t < phase.taps; t++) {
        let tap = table[phase.first + t];
        let weight = u32(tap.z);
//!for I in 0..{{TM}}
        // Clamped, not guarded: see conv.wgsl.
        let pixel{{I}} = pixel(from{{I}}, tap);
        let first{{I}} = u32(max(pixel{{I}}, 0));
//!end
//!if WIDE_C
        for (var c = 0u; c < SOURCE_C; c += 4u) {
//!for I in 0..{{TM}}
            let a{{I}} = select(vec4<f32>(0.0), prologue(source[(first{{I}} + c) / 4u], 0u), pixel{{I}} >= 0);
//!end
//!if TRANSPOSED
//!for V in 0..{{TN4}}
//!for L in 0..4
            let row{{V}}_{{L}} = load_row(weight, c, d0 + {{V}}u * 4u + {{L}}u);
//!end
//!end
//!end
//!for L in 0..4
//!for V in 0..{{TN4}}
//!if TRANSPOSED
            let b{{L}}_{{V}} = vec4<f32>(row{{V}}_0[{{L}}], row{{V}}_1[{{L}}], row{{V}}_2[{{L}}], row{{V}}_3[{{L}}]);
//!else
            let b{{L}}_{{V}} = load_b(weight, c + {{L}}u, d0 + {{V}}u * 4u);
//!end
//!for I in 0..{{TM}}
            sum{{I}}_{{V}} = fma(vec4<f32>(a{{I}}[{{L}}]), b{{L}}_{{V}}, sum{{I}}_{{V}});
//!end
//!end
//!end
        }
//!else
        for (var c = 0u; c < SOURCE_C; c++) {
//!for I in 0..{{TM}}
            let a{{I}} = select(0.0, prologue(source[first{{I}} + c], 0u), pixel{{I}} >= 0);
//!end
//!for V in 0..{{TN4}}
            let b_{{V}} = load_b(weight, c, d0 + {{V}}u * 4u);
//!for I in 0..{{TM}}
            sum{{I}}_{{V}} = fma(vec4<f32>(a{{I}}), b_{{V}}, sum{{I}}_{{V}});
//!end
//!end
        }
//!end
    }
//!for I in 0..{{TM}}
    {
        let at = position(m0 + {{I}}u, phase.extent);
        if at.x < IMAGES {
            let to = destination(at, phase.origin);
//!for V in 0..{{TN4}}
            store(sum{{I}}_{{V}}, to, d0 + {{V}}u * 4u);
//!end
        }
    }
//!end
}
