//! The `bellwire` command: the server, its clients, and the tools around them.

mod bench;
mod config_command;
mod output;
mod publish;
mod remote;
mod serve;
mod subscribe;
mod token;

use std::process::ExitCode;

use clap::Command;

fn main() -> ExitCode {
    let matches = command().get_matches();
    let result = match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("pub", matches)) => publish::run(matches),
        Some(("sub", matches)) => subscribe::run(matches),
        Some(("token", matches)) => token::run(matches),
        Some(("config", matches)) => config_command::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some(("bench-worker", _)) => bench::run_worker(),
        _ => unreachable!("clap requires one of the subcommands"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    Command::new("bellwire")
        .about("A realtime push server: SSE, WebSocket and long-polling over one log")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(
            "Try it:  bellwire serve --dev\n         \
             curl -N 'http://127.0.0.1:2355/v1/sse?channel=news'\n         \
             curl -d hello http://127.0.0.1:2355/v1/channels/news",
        )
        .subcommands([
            serve::command(),
            publish::command(),
            subscribe::command(),
            token::command(),
            config_command::command(),
            bench::command(),
            bench::worker_command(),
        ])
}

#[expect(
    clippy::print_stderr,
    reason = "the one place where the command tells that it failed"
)]
fn complain(error: &str) {
    eprintln!("bellwire: {error}");
}
