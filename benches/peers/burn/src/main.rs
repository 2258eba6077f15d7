//! Times training steps of kiln's workloads in Burn. `kiln-peer-burn --backend flex|vulkan [--workload NAME] [--steps 5] [--warmup 3]`
//! prints one JSON object with the key `rows`. `--backend vulkan-cpu` asks for a software driver.

mod models;

use std::time::Instant;

use burn::tensor::Device;
#[cfg(feature = "vulkan")]
use burn::tensor::DeviceKind;
use serde_json::{Value, json};

use models::{DcganTraining, PixelCnn, Training, Vae, VaeLayers, likelihood_training};

const WORKLOADS: [&str; 6] = ["pixelcnn-28-b64", "pixelcnn-28-b8", "vae-mlp-28-b128", "vae-conv-28-b128", "dcgan-32-b64", "dcgan-32-b8"];

fn training(name: &str, device: &Device) -> (Box<dyn Training>, usize, usize) {
    let (batch, params) = match name {
        "pixelcnn-28-b64" => (64, 53_569),
        "pixelcnn-28-b8" => (8, 53_569),
        "vae-mlp-28-b128" => (128, 652_824),
        "vae-conv-28-b128" => (128, 258_025),
        "dcgan-32-b64" => (64, 1_728_128),
        "dcgan-32-b8" => (8, 1_728_128),
        other => refuse(&format!("no workload is named {other}; there are all, {}", WORKLOADS.join(", "))),
    };
    let training: Box<dyn Training> = match name {
        "vae-mlp-28-b128" => Box::new(likelihood_training(Vae::new(VaeLayers::Mlp, device), batch, device)),
        "vae-conv-28-b128" => Box::new(likelihood_training(Vae::new(VaeLayers::Conv, device), batch, device)),
        dcgan if dcgan.starts_with("dcgan") => Box::new(DcganTraining::new(batch, device)),
        _ => Box::new(likelihood_training(PixelCnn::new(device), batch, device)),
    };
    assert_eq!(training.params(), params, "{name} has another number of parameters");
    (training, batch, params)
}

fn row(name: &str, backend: &str, device: &Device, steps: usize, warmup: usize) -> Value {
    let (mut training, batch, params) = training(name, device);
    device.sync().expect("the device answers");
    let mut timed = || {
        let start = Instant::now();
        training.step();
        device.sync().expect("the device answers");
        start.elapsed().as_secs_f64()
    };
    let first = timed();
    for _ in 1..warmup {
        timed();
    }
    let mut times: Vec<f64> = (0..steps).map(|_| timed()).collect();
    times.sort_by(f64::total_cmp);
    let median = (times[(steps - 1) / 2] + times[steps / 2]) / 2.0;
    json!({
        "workload": name, "device": backend, "step_s": median, "step_min_s": times[0], "step_max_s": times[steps - 1],
        "first_step_s": first, "images_per_s": batch as f64 / median, "params": params, "peak_rss_bytes": peak_rss_bytes(),
    })
}

/// The process's high-water mark, where `/proc` tells it.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    kib.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Ends the program over arguments it cannot take.
fn refuse(what: &str) -> ! {
    eprintln!("kiln-peer-burn: {what}");
    std::process::exit(2)
}

fn main() {
    let (mut backend, mut workload) = ("flex".to_string(), "all".to_string());
    let (mut steps, mut warmup) = (5usize, 3usize);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_else(|| refuse(&format!("{name} needs a value")));
        let count = || value.parse().ok().filter(|n| *n >= 1).unwrap_or_else(|| refuse(&format!("{name} is a number from 1, not {value}")));
        match name.as_str() {
            "--backend" => backend = value,
            "--workload" => workload = value,
            "--steps" => steps = count(),
            "--warmup" => warmup = count(),
            other => refuse(&format!("{other} is no option; there are --backend, --workload, --steps and --warmup")),
        }
    }
    let device = match backend.as_str() {
        "flex" => Device::flex(),
        #[cfg(feature = "vulkan")]
        "vulkan" => Device::vulkan(DeviceKind::DefaultDevice),
        #[cfg(feature = "vulkan")]
        "vulkan-cpu" => Device::vulkan(DeviceKind::Cpu),
        other => {
            refuse(&format!("{other} is no backend of this build; there are flex, and with the feature vulkan, vulkan and vulkan-cpu"))
        }
    }
    .autodiff();
    device.seed(1);
    let names: Vec<&str> = if workload == "all" { WORKLOADS.to_vec() } else { vec![&workload] };
    let rows: Vec<Value> = names.iter().map(|name| row(name, &backend, &device, steps, warmup)).collect();
    println!("{}", json!({ "rows": rows }));
}
