// The geometry of a convolution seen from its destination: dst[n, origin + STEP_DEST j] gathers src[n, STEP_SOURCE j + tap].
// Needs `table: array<vec4<i32>>` bound: PHASES pairs of records (origin y, x, extent h, w), (first tap, taps, 0, 0), then the taps
// (dy, dx, weight, 0).
const PHASES: u32 = {{PHASES}}u;
const IMAGES: u32 = {{IMAGES}}u;
const SOURCE_H: i32 = {{SOURCE_H}};
const SOURCE_W: i32 = {{SOURCE_W}};
const DEST_H: u32 = {{DEST_H}}u;
const DEST_W: u32 = {{DEST_W}}u;
const STEP_SOURCE: i32 = {{STEP_SOURCE}};
const STEP_DEST: u32 = {{STEP_DEST}}u;
// Channels of the source and of the destination.
const SOURCE_C: u32 = {{C}}u;
const DEST_C: u32 = {{D}}u;

struct Phase {
    origin: vec2<u32>,
    extent: vec2<u32>,
    first: u32,
    taps: u32,
}

fn phase_of(z: u32) -> Phase {
//!if ONE_PHASE
    return Phase(vec2<u32>(0u, 0u), vec2<u32>(DEST_H, DEST_W), 2u, {{TAPS}}u);
//!else
    let place = vec4<u32>(table[2u * z]);
    let taps = vec4<u32>(table[2u * z + 1u]);
    return Phase(place.xy, place.zw, taps.x, taps.y);
//!end
}

// Image and row and column of position `m` of a phase; behind the last position, the image is IMAGES.
fn position(m: u32, extent: vec2<u32>) -> vec3<u32> {
    let x = m % extent.y;
    let rows = m / extent.y;
    return vec3<u32>(min(rows / extent.x, IMAGES), rows % extent.x, x);
}

// First pixel of the source image, and source row and column before the tap's offset; far outside behind the last position.
fn source_of(at: vec3<u32>) -> vec3<i32> {
    let p = vec3<i32>(at);
    let first = vec3<i32>(p.x * (SOURCE_H * SOURCE_W), p.y * STEP_SOURCE, p.z * STEP_SOURCE);
    return select(first, vec3<i32>(0, -0x100000, -0x100000), vec3<bool>(at.x >= IMAGES));
}

// First element of the source pixel that a tap sees, or -1 outside the image.
fn pixel(at: vec3<i32>, tap: vec4<i32>) -> i32 {
    let y = at.y + tap.x;
    let x = at.z + tap.y;
    // Negative numbers are large ones here.
    let inside = (u32(y) < u32(SOURCE_H)) & (u32(x) < u32(SOURCE_W));
    return select(-1, (at.x + y * SOURCE_W + x) * i32(SOURCE_C), inside);
}

// Destination element of channel 0 at a phase's position.
fn destination(at: vec3<u32>, origin: vec2<u32>) -> u32 {
    let y = origin.x + at.y * STEP_DEST;
    let x = origin.y + at.z * STEP_DEST;
    return ((at.x * DEST_H + y) * DEST_W + x) * DEST_C;
}
