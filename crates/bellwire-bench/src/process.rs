//! What processes use, as the kernel tells in `/proc`: CPU time, memory, and memory of the
//! kernel's own for sockets.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Memory of a process and its children, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Resident, pages shared with other processes counted whole.
    pub rss: u64,
    /// Resident, shared pages counted by share.
    pub pss: u64,
}

/// Memory that the whole machine's kernel holds, in bytes.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Kernel {
    /// Slab caches, where sockets, files and dentries live.
    pub slab: u64,
    /// Buffers of TCP sockets.
    pub tcp: u64,
}

/// A process with its children and theirs.
#[must_use]
pub fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        at += 1;
        let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else {
            continue;
        };
        for task in tasks.flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(children.split_whitespace().flat_map(str::parse::<u32>));
        }
    }
    found
}

/// CPU time that a process and its children have used so far, by the scheduler's account.
///
/// # Errors
/// The process is gone.
pub fn cpu(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for pid in family(pid) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.with_context(|| format!("process {pid} is gone"))? {
            // A thread may end meanwhile.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            let ran = text.split_whitespace().next();
            nanoseconds += ran.map_or(Ok(0), str::parse::<u64>)?;
        }
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Memory of a process and its children now.
///
/// # Errors
/// The process is gone, or its memory map may not be read.
pub fn memory(pid: u32) -> Result<Memory> {
    let mut memory = Memory::default();
    for pid in family(pid) {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        memory.rss += kilobytes(&text, "Rss:")?;
        memory.pss += kilobytes(&text, "Pss:")?;
    }
    Ok(memory)
}

/// The kernel's memory now.
///
/// # Errors
/// `/proc` is not mounted.
pub fn kernel() -> Result<Kernel> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let sockstat = fs::read_to_string("/proc/net/sockstat")?;
    let pages = sockstat
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .and_then(|line| line.split_once(" mem "))
        .and_then(|(_, pages)| pages.trim().parse::<u64>().ok())
        .context("/proc/net/sockstat has no TCP line")?;
    Ok(Kernel {
        slab: kilobytes(&meminfo, "Slab:")?,
        tcp: pages * rustix::param::page_size() as u64,
    })
}

fn kilobytes(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let number = number.with_context(|| format!("{name} is missing"))?;
    Ok(number.parse::<u64>()? * 1024)
}

/// What the machine is, for reports.
#[must_use]
pub fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.split_once(": "));
        value.map_or_else(|| "?".to_owned(), |(_, value)| value.to_owned())
    };
    let cores = cpuinfo.matches("\nprocessor").count() + 1;
    let version = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release: Vec<&str> = version.trim().splitn(3, '.').take(2).collect();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = kilobytes(&meminfo, "MemTotal:").unwrap_or_default() >> 30;
    format!(
        "{cores} cores of {} (family {}), {memory} GiB, Linux {}",
        field("model name"),
        field("cpu family"),
        release.join(".")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_time_and_memory() {
        let pid = std::process::id();
        assert!(cpu(pid).unwrap() > Duration::ZERO);
        let memory = memory(pid).unwrap();
        assert!(memory.rss >= memory.pss && memory.pss > 0);
        assert!(kernel().unwrap().slab > 0);
    }
}
