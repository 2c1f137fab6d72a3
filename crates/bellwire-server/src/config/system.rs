//! What the machine, or the container, gives this process: memory, descriptors, cores.

use std::{fs, path::Path};

/// Memory in bytes that this process may use: the smallest of the machine's and of its control
/// groups' limits (version 2 and 1).
#[must_use]
pub fn available_memory_bytes() -> usize {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total(&text));
    // Where nothing can be read, as on other systems, a small machine is assumed.
    let machine = machine.unwrap_or(1 << 30);
    group_limit(&groups, Path::new("/sys/fs/cgroup")).map_or(machine, |group| group.min(machine))
}

/// How many descriptors this process may have open.
#[must_use]
pub fn max_descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// How many cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// `MemTotal` of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The smallest limit on the way from this process's control group to the root.
fn group_limit(groups: &str, root: &Path) -> Option<usize> {
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        if controllers.is_empty() {
            smallest(root, path, "memory.max")
        } else if controllers
            .split(',')
            .any(|controller| controller == "memory")
        {
            smallest(&root.join("memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    limits.min()
}

/// Inside a container the path of the group may not be mounted; the root of the mount is then the
/// container's own group.
fn smallest(mount: &Path, path: &str, file: &str) -> Option<usize> {
    let own = mount.join(path.trim_start_matches('/'));
    let upwards = own.ancestors().take_while(|group| group.starts_with(mount));
    let limits = upwards.filter_map(|group| {
        // "max" in version 2 is no limit, and neither is version 1's page-rounded i64::MAX.
        let limit: u64 = fs::read_to_string(group.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()?;
        (limit < 1 << 62).then_some(usize::try_from(limit).ok()?)
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(name: &str, files: &[(&str, &str)]) -> std::path::PathBuf {
        let root = std::env::temp_dir().join(format!("bellwire-{name}-{}", std::process::id()));
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn the_tightest_group_above_the_process_counts() {
        let root = mount(
            "cgroup2",
            &[
                ("memory.max", "max\n"),
                ("system.slice/memory.max", "1000000\n"),
                ("system.slice/bellwire.service/memory.max", "max\n"),
            ],
        );
        assert_eq!(
            group_limit("0::/system.slice/bellwire.service\n", &root),
            Some(1_000_000)
        );
        assert_eq!(group_limit("0::/elsewhere\n", &root), None);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn version_one_groups_are_read_too() {
        let root = mount(
            "cgroup1",
            &[
                ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
                ("memory/docker/abc/memory.limit_in_bytes", "524288000\n"),
            ],
        );
        let groups = "12:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc\n";
        assert_eq!(group_limit(groups, &root), Some(524_288_000));
        assert_eq!(group_limit("5:memory:/not/mounted\n", &root), None);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn the_machines_memory_is_read_in_kibibytes() {
        assert_eq!(
            total("MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            Some(16 << 20)
        );
        assert_eq!(total("nothing"), None);
        assert!(available_memory_bytes() > 1 << 20);
    }
}
