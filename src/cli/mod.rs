//! One file per subcommand. Standard output is for results, standard error for what went wrong.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line speaks on both"
)]

mod check;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::domain::problem::Problem;

/// Exit code of a configuration error (`EX_CONFIG`).
const EXIT_CONFIG: u8 = 78;

/// 气量: gas demand, from the meter to the declaration.
#[derive(Debug, Parser)]
#[command(name = "qiliang", version, about, max_term_width = 100)]
struct Arguments {
    /// Configuration file; what it does not say keeps the default (`qiliang config default`).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all problems of configuration, profiles, calendar and registry at once.
    Check,
    /// Print the configuration's defaults.
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Every key with its unit and default, as TOML.
    Default,
}

/// Why a command ended without success.
#[derive(Debug)]
enum Failure {
    /// What people wrote is wrong; all of it.
    Problems(Vec<Problem>),
    /// Something else.
    Error(anyhow::Error),
    /// The input was looked at and refused; the reason has been printed.
    Refused,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Error(error)
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        Self::Problems(problems)
    }
}

/// Parses the arguments, runs the command, tells how it ended.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Problems(problems)) => {
            for problem in &problems {
                eprintln!("{problem}");
            }
            let errors = problems.iter().filter(|p| !p.is_warning).count();
            eprintln!("help: {errors} problem(s) to mend; `qiliang check` lists them again");
            ExitCode::from(EXIT_CONFIG)
        }
        Err(Failure::Error(error)) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
        Err(Failure::Refused) => ExitCode::from(2),
    }
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    let config = arguments.config.as_deref();
    match arguments.command {
        Command::Check => check::run(config),
        Command::Config {
            what: ConfigCommand::Default,
        } => {
            print!("{}", crate::settings::DEFAULT);
            Ok(())
        }
    }
}
