//! What a Vulkan driver's compiler makes of the kernels of the training workloads: registers, spills, how much of them is resident at once.
//!
//! `cargo bench --bench compiled -- --device nvk --filter dcgan --variant tile-64x64`; `--merged 64` takes kernels that share a dispatch as one,
//! and shows beside each what its parts come to.
//!
//! Nothing runs, so the GPU need not be there. Debian's `mesa-drm-shim` (Mesa 26) lets Mesa's own compilers for NVIDIA and AMD speak:
//!
//! ```text
//! LD_PRELOAD=libnouveau_noop_drm_shim.so NOUVEAU_CHIPSET=192 cargo bench --bench compiled -- --device nvk
//! LD_PRELOAD=libamdgpu_noop_drm_shim.so AMDGPU_GPU_ID=navi31 cargo bench --bench compiled -- --device radv
//! ```

#[path = "../support/models.rs"]
mod models;
mod vulkan;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use kiln::gpu::{KernelText, kernels};
use kiln::graph::Plan;
use kiln::shader::{Choices, Class, Matrices, Target};
use kiln::train::TrainRecipe;
use kiln::{Error, Result};
use serde_json::json;
use vulkan::Compiler;

#[derive(Parser)]
struct Args {
    /// Part of the device's name
    #[arg(long, default_value = "")]
    device: String,
    /// Workloads, operations or kernels whose name holds this
    #[arg(long, default_value = "")]
    filter: String,
    /// Kernel variants to take wherever they can run, by the start of their names
    #[arg(long)]
    variant: Option<String>,
    /// Products in mixed precision, by cooperative matrices of this side for subgroups of this size: 16x32
    #[arg(long)]
    matrices: Option<String>,
    /// Kernels that share a dispatch as the one they are merged to, of so many storage buffers at most, and below it what its parts come to
    #[arg(long)]
    merged: Option<usize>,
    /// Write all that the driver tells of each kernel
    #[arg(long)]
    json: Option<PathBuf>,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a driver tells of a kernel: names and values.
type Told = Vec<(String, f64)>;

/// A column's title, the names that drivers have for what stands in it, and how those of two kernels are one.
type Column = (&'static str, &'static [&'static str], fn(f64, f64) -> f64);

const COLUMNS: [Column; 5] = [
    ("registers", &["vgprs", "number of gprs", "gprs", "register count", "max live registers"], f64::max),
    ("spilled", &["spilled vgprs", "spills to memory", "spill count", "scratch size"], |a, b| a + b),
    ("resident", &["subgroups per simd", "max warps/sm"], f64::min),
    ("instructions", &["instructions", "instruction count"], |a, b| a + b),
    ("cycles", &["inverse throughput", "static cycle count", "cycle count"], |a, b| a + b),
];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("compiled: {e}");
            ExitCode::from(e.exit_code())
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let compiler = Compiler::open(&args.device)?;
    let limits = &compiler.limits;
    let matrices = args.matrices.as_deref().map(parse_matrices).transpose()?;
    let choices = args.variant.as_deref().map(Choices::forcing).transpose()?.unwrap_or_default();
    let target = Target {
        max_invocations: limits.max_compute_work_group_invocations,
        workgroup_bytes: limits.max_compute_shared_memory_size,
        class: compiler.class,
        texels: 1 << 24,
        prefers_textures: compiler.class == Class::Software,
        matrices,
        choices: Arc::new(choices),
    };
    println!("{}", compiler.name);
    print!("{:<18}{:<14}{:<20}{:<22}{:>5}{:>9}", "workload", "operation", "kernel", "variant", "×", "groups");
    COLUMNS.iter().for_each(|(name, ..)| print!("{name:>14}"));
    println!();
    let mut rows = Vec::new();
    for case in &models::CASES {
        let model = case.build();
        let recipe = TrainRecipe::new(&model.defaults());
        let graph = model.train_graph(case.batch, &|group| recipe.update(group))?;
        let plan = Plan::new(&graph, model.state(), true);
        let list = |merged| kernels(&plan, model.state(), &target, merged);
        let apart = list(None)?;
        let mut counted: BTreeMap<String, (usize, KernelText)> = BTreeMap::new();
        for kernel in list(args.merged)? {
            let key = format!("{} {} {}", kernel.operation, kernel.kernel, kernel.text);
            counted.entry(key).or_insert_with(|| (0, kernel)).0 += 1;
        }
        let mut known: HashMap<&str, Told> = HashMap::new();
        for (count, kernel) in counted.into_values() {
            let names = [case.name, kernel.operation, kernel.kernel];
            if !names.iter().any(|name| name.contains(&args.filter)) {
                continue;
            }
            let told = compiler.statistics(&kernel.text)?;
            let variant = kernel.choice.map(|c| c.variant.to_string()).unwrap_or_default();
            let groups: u64 = kernel.groups.iter().map(|&g| u64::from(g)).product();
            print!("{:<18}{:<14}{:<20}{variant:<22}{count:>5}{groups:>9}", names[0], names[1], names[2]);
            show(&[&told]);
            let parts: Vec<&KernelText> = kernel.parts.iter().filter(|_| kernel.parts.len() > 1).map(|&part| &apart[part]).collect();
            for part in &parts {
                if !known.contains_key(part.text.as_str()) {
                    known.insert(&part.text, compiler.statistics(&part.text)?);
                }
            }
            let of_parts: Vec<&Told> = parts.iter().map(|part| &known[part.text.as_str()]).collect();
            if !parts.is_empty() {
                print!("{:<18}{:<14}{:<20}{:<22}{:>5}{:>9}", "", "its parts", parts[0].kernel, "", parts.len(), "");
                show(&of_parts);
            }
            let all = |told: &Told| told.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>();
            let parts: Vec<_> =
                parts.iter().zip(of_parts).map(|(part, told)| json!({ "kernel": part.kernel, "driver": all(told) })).collect();
            rows.push(json!({
                "device": compiler.name, "workload": names[0], "operation": names[1], "kernel": names[2], "variant": variant, "count": count,
                "groups": kernel.groups, "flops": kernel.flops, "driver": all(&told), "parts": parts,
            }));
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::Value::from(rows).to_string();
        std::fs::write(path, text).map_err(|e| Error::io(path, e))?;
    }
    Ok(())
}

/// Ends a line with the columns of what several kernels come to.
fn show(told: &[&Told]) {
    for (_, known, join) in COLUMNS {
        let named = |told: &Told, name: &str| told.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let values = told.iter().map(|told| known.iter().find_map(|name| named(told, name)));
        match values.collect::<Option<Vec<f64>>>().and_then(|values| values.into_iter().reduce(join)) {
            Some(value) => print!("{value:>14}"),
            None => print!("{:>14}", "–"),
        }
    }
    println!();
}

fn parse_matrices(text: &str) -> Result<Matrices> {
    let numbers = text.split_once('x').and_then(|(side, subgroup)| Some((side.parse().ok()?, subgroup.parse().ok()?)));
    let (side, subgroup) = numbers.ok_or_else(|| Error::usage(format!("--matrices is like 16x32, not {text}")))?;
    Ok(Matrices { side, subgroup })
}
