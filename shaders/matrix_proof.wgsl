// A small known product through cooperative matrices, so that an adapter is trusted only after it came out right: with whole numbers
// whose sums f16 could not hold, operands rounded to f16 and sums kept in f32 are exact.
// Layouts: factors [2][SIDE][SIDE] (the first row by row, the second row by row), product [2][SIDE][SIDE]: first times second, and the
// transposed first (read column by column) times second, each added up ROUNDS times; then the size of the subgroup.
// Dispatch: one workgroup of one full subgroup.
enable f16;
enable wgpu_cooperative_matrix;

@group(0) @binding(0) var<storage, read> factors: array<f32>;
@group(0) @binding(1) var<storage, read_write> product: array<f32>;
const SIDE: u32 = {{SIDE}}u;
const COUNT: u32 = SIDE * SIDE;
const THREADS: u32 = {{THREADS}}u;
var<workgroup> first: array<f16, COUNT>;
var<workgroup> second: array<f16, COUNT>;
var<workgroup> sums: array<f32, COUNT>;

@compute @workgroup_size({{THREADS}})
fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_size) size: u32) {
    if lane == 0u {
        product[2u * COUNT] = f32(size);
    }
    for (var i = lane; i < COUNT; i += THREADS) {
        first[i] = f16(factors[i]);
        second[i] = f16(factors[COUNT + i]);
    }
    workgroupBarrier();
//!for T in 0..2
    {
        var sum: coop_mat{{SIDE}}x{{SIDE}}<f32, C>;
        for (var round = 0u; round < {{ROUNDS}}u; round++) {
//!if T
            let a = coopLoad<coop_mat{{SIDE}}x{{SIDE}}<f16, A>>(&first[0], SIDE);
//!else
            let a = coopLoadT<coop_mat{{SIDE}}x{{SIDE}}<f16, A>>(&first[0], SIDE);
//!end
            let b = coopLoadT<coop_mat{{SIDE}}x{{SIDE}}<f16, B>>(&second[0], SIDE);
            sum = coopMultiplyAdd(a, b, sum);
        }
        coopStoreT(sum, &sums[0], SIDE);
        workgroupBarrier();
        for (var i = lane; i < COUNT; i += THREADS) {
            product[{{T}}u * COUNT + i] = sums[i];
        }
        workgroupBarrier();
    }
//!end
}
