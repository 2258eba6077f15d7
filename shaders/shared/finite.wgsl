// Whether a number is neither infinite nor not a number, by its bits: compilers may assume that there are no others.
fn is_finite(x: f32) -> bool {
    return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u;
}
