//! What a Vulkan driver's compiler makes of the kernels of the training workloads: registers, spills, how much of them is resident at once.
//!
//! `cargo bench --bench compiled -- --device nvk --filter dcgan --variant tile-64x64`
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

use std::collections::BTreeMap;
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
    /// Write all that the driver tells of each kernel
    #[arg(long)]
    json: Option<PathBuf>,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// Columns, and the names that drivers have for them.
const COLUMNS: [(&str, &[&str]); 5] = [
    ("registers", &["vgprs", "number of gprs", "gprs", "register count", "max live registers"]),
    ("spilled", &["spilled vgprs", "spills to memory", "spill count", "scratch size"]),
    ("resident", &["subgroups per simd", "max warps/sm"]),
    ("instructions", &["instructions", "instruction count"]),
    ("cycles", &["inverse throughput", "static cycle count", "cycle count"]),
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
    COLUMNS.iter().for_each(|(name, _)| print!("{name:>14}"));
    println!();
    let mut rows = Vec::new();
    for case in &models::CASES {
        let model = case.build();
        let recipe = TrainRecipe::new(&model.defaults());
        let graph = model.train_graph(case.batch, &|group| recipe.update(group))?;
        let plan = Plan::new(&graph, model.state(), true);
        let mut counted: BTreeMap<String, (usize, KernelText)> = BTreeMap::new();
        for kernel in kernels(&plan, model.state(), &target, None)? {
            let key = format!("{} {} {}", kernel.operation, kernel.kernel, kernel.text);
            counted.entry(key).or_insert_with(|| (0, kernel)).0 += 1;
        }
        for (count, kernel) in counted.into_values() {
            let names = [case.name, kernel.operation, kernel.kernel];
            if !names.iter().any(|name| name.contains(&args.filter)) {
                continue;
            }
            let told = compiler.statistics(&kernel.text)?;
            let variant = kernel.choice.map(|c| c.variant.to_string()).unwrap_or_default();
            let groups: u64 = kernel.groups.iter().map(|&g| u64::from(g)).product();
            print!("{:<18}{:<14}{:<20}{variant:<22}{count:>5}{groups:>9}", names[0], names[1], names[2]);
            for (_, known) in COLUMNS {
                let named = |name: &&str| told.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
                match known.iter().find_map(named) {
                    Some(value) => print!("{value:>14}"),
                    None => print!("{:>14}", "–"),
                }
            }
            println!();
            let all: serde_json::Map<_, _> = told.into_iter().map(|(name, value)| (name, json!(value))).collect();
            rows.push(json!({
                "device": compiler.name, "workload": names[0], "operation": names[1], "kernel": names[2], "variant": variant, "count": count,
                "groups": kernel.groups, "flops": kernel.flops, "driver": all,
            }));
        }
    }
    if let Some(path) = &args.json {
        let text = serde_json::Value::from(rows).to_string();
        std::fs::write(path, text).map_err(|e| Error::io(path, e))?;
    }
    Ok(())
}

fn parse_matrices(text: &str) -> Result<Matrices> {
    let numbers = text.split_once('x').and_then(|(side, subgroup)| Some((side.parse().ok()?, subgroup.parse().ok()?)));
    let (side, subgroup) = numbers.ok_or_else(|| Error::usage(format!("--matrices is like 16x32, not {text}")))?;
    Ok(Matrices { side, subgroup })
}
