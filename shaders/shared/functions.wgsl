// Functions of pointwise programs. None makes an infinity or a NaN from a finite operand: fast math may assume there are none.

// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|); the logarithm by its series where 1 + e would round.
fn softplus(x: f32) -> f32 {
    let e = exp(-abs(x));
    let series = e * (1.0 - e * (0.5 - e * (0.33333334 - 0.25 * e)));
    return max(x, 0.0) + select(log(1.0 + e), series, e < 0.01);
}

fn softplus4(x: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(softplus(x.x), softplus(x.y), softplus(x.z), softplus(x.w));
}

// 1 / (1 + e^-x), by e^-|x| so that nothing overflows.
fn sigmoid(x: f32) -> f32 {
    let e = exp(-abs(x));
    let r = 1.0 / (1.0 + e);
    return select(e * r, r, x >= 0.0);
}

fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-abs(x));
    let r = 1.0 / (1.0 + e);
    return select(e * r, r, x >= vec4<f32>(0.0));
}

// (1 - e^-2|x|) / (1 + e^-2|x|) with x's sign; Taylor near zero, where the difference cancels.
fn tanh_stable4(x: vec4<f32>) -> vec4<f32> {
    let e = exp(-2.0 * abs(x));
    let far = sign(x) * (1.0 - e) / (1.0 + e);
    let s = x * x;
    let near = x * (1.0 - s * (0.33333334 - s * (0.13333334 - s * (0.053968254 - s * 0.021869488))));
    return select(far, near, abs(x) < vec4<f32>(0.25));
}

fn tanh_stable(x: f32) -> f32 {
    return tanh_stable4(vec4<f32>(x)).x;
}
