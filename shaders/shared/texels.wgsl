// Where a packed operand's texel lies; rows are as long as `TEXTURE_WIDTH` in src/op/launch/pack.rs.
fn texel(number: u32) -> vec2<u32> {
    return vec2<u32>(number % 4096u, number / 4096u);
}
