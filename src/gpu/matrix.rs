//! Cooperative matrices: which an adapter offers, and the proof asked of it before kernels use them.

use super::{Gpu, Standalone};
use crate::error::{Error, Result};
use crate::shader::{Access, Matrices, expand};
use crate::tensor::Precision;

/// Times the proof adds its product up.
const ROUNDS: usize = 300;

impl Gpu {
    /// The same device computing in another precision.
    ///
    /// # Errors
    /// [`Error::Usage`] where mixed precision is asked for and the adapter has no cooperative matrices that multiply as they should.
    pub async fn with_precision(&self, precision: Precision) -> Result<Self> {
        let matrices = match precision {
            Precision::F32 => None,
            Precision::Mixed => Some(proven(self, &self.inner().matrix_sides, self.inner().description.subgroup[1] as usize).await?),
        };
        Ok(self.with_matrices(matrices))
    }
}

/// The square tiles of f16 with sums in f32 that an adapter offers, the largest first.
pub(super) fn offered(adapter: &wgpu::Adapter) -> Vec<usize> {
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
    if !adapter.features().contains(needed) {
        return Vec::new();
    }
    let mut sides: Vec<usize> = adapter
        .cooperative_matrix_properties()
        .iter()
        .filter(|p| p.m_size == p.n_size && p.n_size == p.k_size && matches!(p.m_size, 8 | 16))
        .filter(|p| p.ab_type == wgpu::CooperativeScalarType::F16 && p.cr_type == wgpu::CooperativeScalarType::F32)
        .map(|p| p.m_size as usize)
        .collect();
    sides.sort_unstable_by(|a, b| b.cmp(a));
    sides.dedup();
    sides
}

/// The largest of the sizes offered that multiplies as it should.
///
/// # Errors
/// [`Error::Usage`] where there is none, with the reason.
async fn proven(gpu: &Gpu, sides: &[usize], subgroup: usize) -> Result<Matrices> {
    let name = &gpu.description().name;
    let mut reason = "offers no cooperative matrices of f16 with sums in f32".to_string();
    for &side in sides {
        match check(gpu, Matrices { side, subgroup }).await {
            // Metal names a range for all its GPUs, each of which has one size; elsewhere sizes differ from kernel to kernel, and kernels
            // are made for the largest.
            Ok(seen) if gpu.description().backend == "metal" => return Ok(Matrices { side, subgroup: seen }),
            Ok(_) => return Ok(Matrices { side, subgroup }),
            Err(e) => reason = format!("failed the proof of its {side}×{side} matrices ({e})"),
        }
    }
    Err(Error::usage(format!("precision mixed is not for {name}: it {reason}; take precision f32")))
}

/// Runs `shaders/matrix_proof.wgsl` and compares every element: whole numbers, so that nothing may be off. Returns the invocations of the
/// subgroup that multiplied.
async fn check(gpu: &Gpu, Matrices { side, subgroup }: Matrices) -> Result<usize> {
    let count = side * side;
    let defines = vec![("SIDE", side.to_string()), ("THREADS", subgroup.to_string()), ("ROUNDS", ROUNDS.to_string())];
    let bound = [(Access::Read, 2 * count), (Access::ReadWrite, 2 * count + 1)];
    let kernel = Standalone::new(gpu, "matrix_proof", expand("matrix_proof", &defines)?, &bound)?;
    // Small and uneven, so that a turned or shifted tile shows; sums reach tens of thousands, odd ones among them, beyond f16.
    let factor = |i: usize| (i * 7 % 23) as f32 - 9.0;
    let factors: Vec<f32> = (0..2 * count).map(factor).collect();
    kernel.upload(0, &factors.iter().map(|f| f.to_bits()).collect::<Vec<_>>());
    kernel.dispatch([1, 1, 1]);
    let product = kernel.read(1, 2 * count + 1).await?;
    for (turned, part) in product.chunks_exact(count).enumerate() {
        for (at, &found) in part.iter().enumerate() {
            let (row, column) = (at / side, at % side);
            let first = |k: usize| if turned == 1 { factors[k * side + row] } else { factors[row * side + k] };
            let wanted: f32 = (0..side).map(|k| first(k) * factors[count + k * side + column]).sum::<f32>() * ROUNDS as f32;
            if found != wanted {
                return Err(Error::Device(format!("row {row}, column {column} is {found}, not {wanted}")));
            }
        }
    }
    match product[2 * count] as usize {
        size if (1..=subgroup).contains(&size) => Ok(size),
        size => Err(Error::Device(format!("a subgroup of {size} invocations, where {subgroup} are the most"))),
    }
}
