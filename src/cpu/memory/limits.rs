//! What Linux says of a process's memory: what is free, its own limits (`ulimit -v`, `ulimit -d`), and those of its control groups of
//! either version and of all groups around them. Other systems say nothing here.

use std::path::{Path, PathBuf};

/// Bytes that can be had, and what bounds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bytes: u64,
    pub(super) bound: Bound,
}

/// What bounds a process's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// The machine's own.
    Machine,
    /// `RLIMIT_AS`.
    AddressSpace,
    /// `RLIMIT_DATA`.
    Data,
    /// A control group.
    Group,
}

impl Bound {
    /// What to say of it behind the figure.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Machine => "",
            Self::AddressSpace => " within the limit of this process (ulimit -v)",
            Self::Data => " within the limit of this process (ulimit -d)",
            Self::Group => " within the limit of this process's control group",
        }
    }
}

/// Address space that is left to threads, their stacks and heaps, to the loader and to checkpoints while a program runs.
const RESERVED: u64 = 16 << 20;

/// The least of all that bounds this process's memory, as `/proc` and `/sys` under `root` have it; `None` where they say nothing.
pub(super) fn room(root: &Path) -> Option<Room> {
    let free = machine(root).map(|bytes| Room { bytes, bound: Bound::Machine });
    free.into_iter().chain(own(root)).chain(groups(root)).min_by_key(|room| room.bytes)
}

/// What is free or easily freed.
fn machine(root: &Path) -> Option<u64> {
    let text = read(&root.join("proc/meminfo"))?;
    Some(field(&text, "MemAvailable:")?.saturating_mul(1024))
}

/// What is left of the process's own limits.
fn own(root: &Path) -> Vec<Room> {
    let read = |name: &str| read(&root.join("proc/self").join(name)).unwrap_or_default();
    let (limits, status) = (read("limits"), read("status"));
    let left = |(limit, taken, bound): (&str, &str, Bound)| {
        let soft = field(&limits, limit)?;
        let taken = field(&status, taken)?.saturating_mul(1024);
        Some(Room { bytes: soft.saturating_sub(taken).saturating_sub(RESERVED), bound })
    };
    let rows = [("Max address space", "VmSize:", Bound::AddressSpace), ("Max data size", "VmData:", Bound::Data)];
    rows.into_iter().filter_map(left).collect()
}

/// What is left to each control group that the process is in, from its own outwards to the root that this system shows.
fn groups(root: &Path) -> Vec<Room> {
    let lines = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = read(&root.join("proc/self/mountinfo")).unwrap_or_default();
    let mut rooms = Vec::new();
    for line in lines.lines() {
        // hierarchy:controllers:path
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let version = match number {
            "0" if controllers.is_empty() => Version::Two,
            _ if controllers.split(',').any(|c| c == "memory") => Version::One,
            _ => continue,
        };
        let Some(mount) = mounts.lines().find_map(|line| Mount::of(line, version)) else { continue };
        rooms.extend(mount.folders(path).iter().filter_map(|folder| version.left(&root.join(folder))));
    }
    rooms.into_iter().map(|bytes| Room { bytes, bound: Bound::Group }).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// What a group may still take. Pages of files count as taken, and are given back where they are needed.
    fn left(self, folder: &Path) -> Option<u64> {
        let number = |name: &str| read(&folder.join(name))?.trim().parse::<u64>().ok();
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        let pages = |names: [&str; 2]| names.iter().filter_map(|name| field(&stat, name)).fold(0, u64::saturating_add);
        let (most, taken, files) = match self {
            Self::Two => (number("memory.max")?, number("memory.current"), pages(["inactive_file ", "active_file "])),
            Self::One => {
                let around = field(&stat, "hierarchical_memory_limit ").unwrap_or(u64::MAX);
                let own = number("memory.limit_in_bytes").unwrap_or(u64::MAX);
                (around.min(own), number("memory.usage_in_bytes"), pages(["total_inactive_file ", "total_active_file "]))
            }
        };
        Some(most.saturating_sub(taken.unwrap_or(0).saturating_sub(files)))
    }
}

/// Where a hierarchy of groups is mounted, and which of its groups is seen there as the outermost.
struct Mount {
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// A line of `mountinfo`, where it is one of the hierarchy that has the memory of this version.
    fn of(line: &str, version: Version) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?, after.nth(1).unwrap_or_default());
        let fits = match version {
            Version::Two => kind == "cgroup2",
            Version::One => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
        };
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        fits.then(|| Self { root: root.into(), point: point.trim_start_matches('/').into() })
    }

    /// The folders of a group and of all around it that are seen. One outside of what is mounted is not seen: its limits then are
    /// those of the outermost.
    fn folders(&self, group: &str) -> Vec<PathBuf> {
        let below = Path::new(group).strip_prefix(&self.root).ok();
        let below = below.filter(|path| path.components().all(|part| matches!(part, std::path::Component::Normal(_))));
        let own = self.point.join(below.unwrap_or(Path::new("")));
        own.ancestors().take_while(|folder| folder.starts_with(&self.point)).map(Path::to_path_buf).collect()
    }
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The number that follows `name` at the start of a line; `None` where there is no such line or it holds a word ("unlimited").
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const FREE: (&str, &str) = ("proc/meminfo", "MemTotal: 9000000 kB\nMemFree: 7 kB\nMemAvailable: 8388608 kB\n");
    const NO_LIMITS: &str = "Max address space         unlimited            unlimited            bytes     \n";
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    /// What is found where `/proc` and `/sys` hold these files.
    fn found(files: &[(&str, &str)]) -> Option<Room> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        room(root.path())
    }

    fn group(bytes: u64) -> Option<Room> {
        Some(Room { bytes, bound: Bound::Group })
    }

    #[test]
    fn what_is_free_bounds_where_nothing_else_does() {
        let free = Some(Room { bytes: 8192 * MIB, bound: Bound::Machine });
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[FREE]), free);
        assert_eq!(found(&[FREE, ("proc/self/limits", NO_LIMITS), ("proc/self/status", "VmSize:\t 1024 kB\n")]), free);
        let unlimited = [FREE, ("proc/self/cgroup", "0::/a\n"), ("proc/self/mountinfo", V2), ("sys/fs/cgroup/a/memory.max", "max\n")];
        assert_eq!(found(&unlimited), free);
        // Lines that are none.
        assert_eq!(found(&[FREE, ("proc/self/cgroup", "0\n\n:::\nx::/\n"), ("proc/self/mountinfo", "- -\n30 23\n - cgroup2\n")]), free);
    }

    #[test]
    fn limits_of_the_process_bound_what_it_has_not_taken() {
        let limits = "Limit Soft Limit Hard Limit Units\nMax data size  536870912 unlimited bytes\nMax address space  1073741824  unlimited  bytes\n";
        let taken = |size: u64, data: u64| format!("Name:\tkiln\nVmSize:\t {size} kB\nVmData:\t {data} kB\n");
        let left = |size, data| found(&[FREE, ("proc/self/limits", limits), ("proc/self/status", &taken(size, data))]);
        assert_eq!(left(800 * 1024, 0), Some(Room { bytes: 224 * MIB - RESERVED, bound: Bound::AddressSpace }));
        assert_eq!(left(100 * 1024, 400 * 1024), Some(Room { bytes: 112 * MIB - RESERVED, bound: Bound::Data }));
        assert_eq!(left(2048 * 1024, 0), Some(Room { bytes: 0, bound: Bound::AddressSpace }));
    }

    #[test]
    fn the_tightest_group_around_the_process_bounds_it() {
        let nested = |own: &str, outer: &str, outermost: &str| {
            found(&[
                FREE,
                ("proc/self/cgroup", "1:name=systemd:/x\n0::/outer/own\n"),
                ("proc/self/mountinfo", V2),
                ("sys/fs/cgroup/outer/own/memory.max", own),
                ("sys/fs/cgroup/outer/own/memory.current", "104857600\n"),
                ("sys/fs/cgroup/outer/memory.max", outer),
                ("sys/fs/cgroup/outer/memory.current", "209715200\n"),
                ("sys/fs/cgroup/memory.max", outermost),
                ("sys/fs/cgroup/elsewhere/memory.max", "1\n"),
            ])
        };
        assert_eq!(nested("1073741824\n", "max\n", "max\n"), group(924 * MIB));
        assert_eq!(nested("1073741824\n", "536870912\n", "max\n"), group(312 * MIB));
        assert_eq!(nested("max\n", "max\n", "104857600\n"), group(100 * MIB));
        assert_eq!(nested("1\n", "max\n", "max\n"), group(0));
    }

    #[test]
    fn pages_of_files_are_given_back() {
        let files = [
            FREE,
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/memory.current", "1073741824\n"),
            ("sys/fs/cgroup/memory.stat", "anon 524288000\ninactive_file 419430400\nactive_file 104857600\n"),
        ];
        assert_eq!(found(&files), group(500 * MIB));
    }

    #[test]
    fn a_container_sees_its_own_group_at_the_mount() {
        // Of version 1 without a namespace of groups: the path is the host's, and the mount shows that folder alone.
        let mount = "40 35 0:31 /docker/0f3a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
                     41 35 0:32 /docker/0f3a /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n";
        let files = |group: &'static str| {
            [
                FREE,
                ("proc/self/cgroup", group),
                ("proc/self/mountinfo", mount),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n"),
                ("sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n"),
                ("sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 1610612736\ntotal_inactive_file 1048576\n"),
                ("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n"),
                ("sys/fs/cgroup/memory/job/memory.stat", "hierarchical_memory_limit 134217728\n"),
            ]
        };
        assert_eq!(found(&files("5:cpu,cpuacct:/x\n4:memory:/docker/0f3a\n")), group(513 * MIB));
        assert_eq!(found(&files("4:hugetlb,memory:/docker/0f3a/job\n")), group(128 * MIB));
        assert_eq!(found(&files("4:memory:/../outside\n")), group(513 * MIB));
        // A namespace whose processes were moved out of it.
        let outside = [FREE, ("proc/self/cgroup", "0::/../out\n"), ("proc/self/mountinfo", V2), ("sys/fs/cgroup/memory.max", "1048576\n")];
        assert_eq!(found(&outside), group(MIB));
    }
}
