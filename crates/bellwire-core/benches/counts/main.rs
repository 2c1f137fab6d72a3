//! What the hot functions cost, in instructions: scenarios for `cargo xtask counts`, which runs
//! each in a process of its own under callgrind and compares with `bench/instructions.json`.
//!
//! Without a name it lists the scenarios. Everything is the same in every run: seeds, time, order.
//! Knows nothing of valgrind but the name of the function in which instructions count.
#![expect(
    clippy::print_stdout,
    reason = "the list of scenarios is what its caller reads"
)]

mod delivery;
mod encode;
mod publish;
mod reading;
#[path = "../../tests/sinks/mod.rs"]
mod sinks;

use std::process::ExitCode;

/// One thing whose instructions are counted.
pub(crate) struct Scenario {
    /// What the baseline calls it.
    name: &'static str,
    /// What the count is divided by.
    unit: &'static str,
    /// Where to look when the count rises.
    function: &'static str,
    /// How many steps count. As many are done before, so that buffers, the log and caches have
    /// found their sizes.
    steps: u32,
    /// Units of one step.
    each: u32,
    /// Makes what the steps need, and the step.
    prepare: fn() -> Step,
}

/// The work of a scenario, to be repeated.
pub(crate) type Step = Box<dyn FnMut()>;

fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    let all = [
        encode::SCENARIOS,
        delivery::SCENARIOS,
        reading::SCENARIOS,
        publish::SCENARIOS,
    ];
    all.into_iter().flatten()
}

fn main() -> ExitCode {
    // Cargo itself passes --bench.
    let Some(name) = std::env::args().nth(1).filter(|name| name != "--bench") else {
        for scenario in scenarios() {
            let units = u64::from(scenario.steps) * u64::from(scenario.each);
            let (name, unit, function) = (scenario.name, scenario.unit, scenario.function);
            println!("{name}\t{units}\t{unit}\t{function}");
        }
        return ExitCode::SUCCESS;
    };
    let Some(scenario) = scenarios().find(|scenario| scenario.name == name) else {
        println!("no scenario is called {name}");
        return ExitCode::FAILURE;
    };
    let mut step = (scenario.prepare)();
    for _ in 0..scenario.steps {
        step();
    }
    counted(scenario.steps, &mut *step);
    ExitCode::SUCCESS
}

/// What happens in here is counted; callgrind is told this name.
#[inline(never)]
fn counted(steps: u32, step: &mut dyn FnMut()) {
    for _ in 0..steps {
        step();
    }
}
