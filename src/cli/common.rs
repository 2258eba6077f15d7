//! Arguments that every command takes.

use clap::Args;

use crate::error::{Error, Result};
use crate::ranks::Ranks;
use crate::runtime::Device;
use crate::train::vectors;
use crate::wait::Wait;

/// Arguments of every command.
#[derive(Args, Clone)]
pub struct Common {
    /// auto (a real GPU, else the CPU), cpu, gpu, a part of an adapter's name, or a number of kiln devices; under mpirun a list too, as in 0,1
    #[arg(long, global = true, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// Seed of everything random
    #[arg(long, global = true, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Print one JSON object on stdout and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// Say nothing but results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for the device's own words
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The processes that do this together, where a launcher started several.
    #[arg(skip)]
    pub ranks: Ranks,
}

impl Common {
    /// Opens the device of this rank: of a list the entry with its number on its machine, else of several equal adapters the one with that
    /// number; both begin again where there are more ranks.
    ///
    /// # Errors
    /// Those of [`Device::open`], of whichever rank; [`Error::Usage`] where ranks are asked for different things, where their devices are not alike, since sums round otherwise on
    /// others, or where one rank is given a list.
    pub fn open_device(&self) -> Result<Device> {
        let ranks = &self.ranks;
        ranks.same("the version of kiln", env!("CARGO_PKG_VERSION"))?;
        ranks.same("what is asked", &asked(std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned())))?;
        let [local, on_machine] = ranks.on_machine();
        let open = || match listed(&self.device) {
            Some(list) if self.ranks.count() > 1 => Device::open(list[local % list.len()]).wait(),
            Some(list) => Err(Error::usage(format!(
                "--device {} is for {} processes and this is one: start them with mpirun -n {}, or name one device",
                self.device,
                list.len(),
                list.len()
            ))),
            None => Device::open_equal(&self.device, local).wait(),
        };
        let device = ranks.agree(open())?;
        log::debug!("rank {}, number {local} of {on_machine} on this machine: {}", ranks.rank(), device.name());
        let level = vectors(&device);
        ranks.same("the device", &if level.is_empty() { device.name() } else { format!("{} with {level} vectors", device.name()) })?;
        Ok(device)
    }
}

/// A command's words but for the device, which is each rank's own.
fn asked(words: impl Iterator<Item = String>) -> String {
    let (mut kept, mut words) = (Vec::new(), words);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--device" => drop(words.next()),
            other if other.starts_with("--device=") => {}
            _ => kept.push(word),
        }
    }
    kept.join(" ")
}

/// The entries of a list of devices, each a number or `cpu`: names of adapters may have commas themselves.
fn listed(device: &str) -> Option<Vec<&str>> {
    let entries: Vec<&str> = device.split(',').map(str::trim).collect();
    let is_entry = |entry: &&str| *entry == "cpu" || (1..=2).contains(&entry.len()) && entry.bytes().all(|b| b.is_ascii_digit());
    (entries.len() > 1 && entries.iter().all(is_entry)).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ranks::together;

    fn common(device: &str, ranks: Ranks) -> Common {
        Common { device: device.into(), seed: None, json: false, quiet: false, verbose: 0, ranks }
    }

    #[test]
    fn a_list_is_of_numbers() {
        assert_eq!(listed("0, 1"), Some(vec!["0", "1"]));
        assert_eq!(listed("cpu,cpu"), Some(vec!["cpu", "cpu"]));
        for one in ["0", "cpu", "auto", "llvmpipe (LLVM 15.0.6, 256 bits)", "0,", "0,gpu"] {
            assert_eq!(listed(one), None, "{one}");
        }
    }

    #[test]
    fn what_is_asked_is_the_same_on_any_device() {
        let words = |text: &str| asked(text.split(' ').map(String::from));
        assert_eq!(words("train vae --device 1 --steps 3"), words("train vae --steps 3 --device=cpu"));
        assert_ne!(words("train vae --steps 3"), words("train vae --steps 4"));
    }

    #[test]
    fn ranks_open_devices_that_are_alike() {
        let refusal = common("cpu,cpu", Ranks::alone()).open_device().err().expect("refused").to_string();
        assert_eq!(refusal, "--device cpu,cpu is for 2 processes and this is one: start them with mpirun -n 2, or name one device");
        for device in together(4, |ranks| common("cpu,cpu", ranks).open_device()) {
            assert_eq!(device.expect("a device").name(), "cpu");
        }
        // One that has none is the failure of all.
        for refused in together(2, |ranks| common("cpu,98", ranks).open_device()) {
            let refused = refused.err().expect("refused");
            assert!(refused.exit_code() == 2 && refused.to_string().contains("no device 98"), "{refused}");
        }
    }
}
