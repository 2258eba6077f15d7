// Philox4x32-10 (Salmon et al., 2011), the twin of src/random.rs: integers and uniforms are equal bit for bit.
// Needs `step: Step` bound.

// Upper half of a 64-bit product.
fn multiply_high(a: u32, b: u32) -> u32 {
    let a0 = a & 0xFFFFu;
    let a1 = a >> 16u;
    let b0 = b & 0xFFFFu;
    let b1 = b >> 16u;
    let low = a0 * b0;
    let mid = a1 * b0 + (low >> 16u);
    let cross = a0 * b1 + (mid & 0xFFFFu);
    return a1 * b1 + (mid >> 16u) + (cross >> 16u);
}

fn philox(counter_in: vec4<u32>, key_in: vec2<u32>) -> vec4<u32> {
    var counter = counter_in;
    var key = key_in;
    for (var round = 0u; round < 10u; round++) {
        let a = multiply_high(0xD2511F53u, counter.x);
        let b = multiply_high(0xCD9E8D57u, counter.z);
        counter = vec4<u32>(b ^ counter.y ^ key.x, 0xCD9E8D57u * counter.z, a ^ counter.w ^ key.y, 0xD2511F53u * counter.x);
        key += vec2<u32>(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

// The 64-bit number of flat element `index` of a batch whose items have `item` elements.
fn random_element(item: u32, index: u32) -> vec2<u32> {
    let low = step.first_item * item;
    let sum = low + index;
    return vec2<u32>(sum, multiply_high(step.first_item, item) + select(0u, 1u, sum < low));
}

// The four words of the block that element `index` lies in.
fn random_block(stream: u32, item: u32, index: u32) -> vec4<u32> {
    let element = random_element(item, index);
    return philox(vec4<u32>((element.x >> 2u) | (element.y << 30u), element.y >> 2u, step.step, stream), step.seed);
}

fn random_word(stream: u32, item: u32, index: u32) -> u32 {
    let block = random_block(stream, item, index);
    let lane = (step.first_item * item + index) & 3u;
    return select(select(block.x, block.y, lane == 1u), select(block.z, block.w, lane == 3u), lane >= 2u);
}

// Uniform in [0, 1) with 24 random bits.
fn random_unit(word: u32) -> f32 {
    return f32(word >> 8u) * 5.9604644775390625e-8;
}

fn random_unit4(words: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(words >> vec4<u32>(8u)) * 5.9604644775390625e-8;
}

// Natural logarithm of a positive normal number.
fn log_poly(x: f32) -> f32 {
    let shifted = bitcast<u32>(x) - 0x3F3504F3u;
    let exponent = bitcast<i32>(shifted) >> 23u;
    let m = bitcast<f32>((shifted & 0x007FFFFFu) + 0x3F3504F3u) - 1.0;
    var p = 7.0376836e-2;
    p = -1.151461e-1 + p * m;
    p = 1.1676999e-1 + p * m;
    p = -1.2420141e-1 + p * m;
    p = 1.4249323e-1 + p * m;
    p = -1.6668057e-1 + p * m;
    p = 2.0000715e-1 + p * m;
    p = -2.4999994e-1 + p * m;
    p = 3.3333331e-1 + p * m;
    let z = m * m;
    return m + (m * z * p - 0.5 * z) + f32(exponent) * 0.6931472;
}

// Standard normal by the inverse distribution function (Giles, 2010) on midpoints of 2^24 cells.
fn random_normal(word: u32) -> f32 {
    let odd = bitcast<i32>((word >> 8u) << 1u) - 16777215;
    let x = f32(odd) * 5.9604644775390625e-8;
    let w = -log_poly((1.0 - x) * (1.0 + x));
    var p = 0.0;
    if w < 5.0 {
        let s = w - 2.5;
        p = 2.8102264e-8;
        p = 3.4327394e-7 + p * s;
        p = -3.5233878e-6 + p * s;
        p = -4.3915065e-6 + p * s;
        p = 2.1858087e-4 + p * s;
        p = -1.253725e-3 + p * s;
        p = -4.1776816e-3 + p * s;
        p = 2.4664073e-1 + p * s;
        p = 1.5014094 + p * s;
    } else {
        let s = sqrt(w) - 3.0;
        p = -2.0021426e-4;
        p = 1.0095056e-4 + p * s;
        p = 1.3493433e-3 + p * s;
        p = -3.6734284e-3 + p * s;
        p = 5.7395077e-3 + p * s;
        p = -7.6224613e-3 + p * s;
        p = 9.4388705e-3 + p * s;
        p = 1.0016741 + p * s;
        p = 2.8329768 + p * s;
    }
    return 1.4142135 * p * x;
}

fn random_normal4(words: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(random_normal(words.x), random_normal(words.y), random_normal(words.z), random_normal(words.w));
}
