//! One file per subcommand. Standard output is for results, standard error for what went wrong.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line speaks on both"
)]

mod backtest;
mod check;
mod credentials;
mod demo;
mod forecast;
mod import;
mod ledger;
mod nudges;
mod open;
mod plan;
mod profiles;
mod rejects;
mod serve;
mod simulate;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::domain::calendar::{GasDay, GasMonth};
use crate::domain::problem::Problem;

use open::Context;

/// Exit code of a configuration error (`EX_CONFIG`).
const EXIT_CONFIG: u8 = 78;

/// 气量: gas demand, from the meter to the declaration.
#[derive(Debug, Parser)]
#[command(name = "qiliang", version, about, max_term_width = 100)]
struct Arguments {
    /// Configuration file; what it does not say keeps the default (`qiliang config default`).
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer as of this instant (RFC 3339) instead of now; nothing known later is used.
    #[arg(long, global = true, value_name = "INSTANT")]
    at: Option<DateTime<Utc>>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon: collect, store, forecast, plan, nudge, serve.
    Run,
    /// List all problems of configuration, profiles, calendar and registry at once.
    Check,
    /// Print the configuration's defaults.
    Config {
        #[command(subcommand)]
        what: ConfigCommand,
    },
    /// Check device profiles, or try one on a frame.
    Profiles {
        #[command(subcommand)]
        what: ProfilesCommand,
    },
    /// Import readings from files, on the same path as live ones; also beside the daemon.
    ///
    /// What is known already is not stored again, so an import that broke off is simply repeated.
    /// Lines that cannot be taken are kept as rejected frames; the exit code is 2 then.
    Import {
        /// Files: `.csv` or `.xlsx` with a header, `.lp` line protocol, `.ndjson` of frames; `.gz`
        /// behind it if packed.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Read, decode and check, and store nothing.
        #[arg(long)]
        dry_run: bool,
        /// Unit of the timestamps in line protocol.
        #[arg(long, value_enum, default_value_t = TimePrecision::Ns)]
        precision: TimePrecision,
    },
    /// Make passwords for meters and tokens for pushing readings.
    Credentials {
        #[command(subcommand)]
        what: CredentialsCommand,
    },
    /// Frames that could not be taken, with their reasons.
    Rejects {
        #[command(subcommand)]
        what: RejectsCommand,
    },
    /// The monitoring ledger of large consumers (台账).
    Ledger {
        /// Write a workbook instead of a table.
        #[arg(long, value_name = "FILE.xlsx")]
        export: Option<PathBuf>,
    },
    /// Make and keep a forecast run; print its totals by day.
    Forecast,
    /// Score the last year through both operational gates, beside seasonal-naive.
    Backtest {
        /// Complete gas days to score.
        #[arg(long, default_value_t = 365)]
        days: usize,
        /// Write the whole report as JSON.
        #[arg(long, value_name = "FILE.json")]
        json: Option<PathBuf>,
    },
    /// Run the same engine on CSV demand data with fixed evaluation splits.
    ForecastCsv(ForecastCsv),
    /// The monthly declaration at least expected cost (月度用气计划申报表).
    Declare {
        /// Month, `YYYY-MM`.
        #[arg(long)]
        month: GasMonth,
        /// Write the workbook.
        #[arg(long, value_name = "FILE.xlsx")]
        export: Option<PathBuf>,
    },
    /// The day-ahead nomination (日指定申请表).
    Nominate {
        /// Gas day, `YYYY-MM-DD`; tomorrow's by default.
        #[arg(long)]
        day: Option<GasDay>,
        /// Write the workbook.
        #[arg(long, value_name = "FILE.xlsx")]
        export: Option<PathBuf>,
    },
    /// Off-peak nudges: list them, approve a draft, send what is approved.
    Nudges {
        #[command(subcommand)]
        what: NudgesCommand,
    },
    /// Write a simulated city's registry, weather and faults, and its history if asked for.
    Simulate {
        /// Folder to write to.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Also write `history.ndjson`, which `qiliang import` reads.
        #[arg(long)]
        history: bool,
        #[command(flatten)]
        city: CityArguments,
    },
    /// A whole city from meter to declaration on this machine.
    Demo {
        /// Folder of the demo; made anew each time.
        #[arg(long, default_value = "target/demo", value_name = "DIR")]
        data_dir: PathBuf,
        /// Console and API, on loopback.
        #[arg(long, default_value = "127.0.0.1:8686")]
        address: std::net::SocketAddr,
        /// Seconds of the city in a real second.
        #[arg(long, default_value_t = 60.0)]
        factor: f64,
        /// Days scored by the backtest that the console shows; 0 for none.
        #[arg(long, default_value_t = 365)]
        backtest_days: usize,
        #[command(flatten)]
        city: CityArguments,
    },
    /// Check the audit log's hash chain.
    Verify,
    /// Ask the running daemon whether it is ready.
    Health,
    /// Print the API's OpenAPI document.
    Openapi,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Every key with its unit and default, as TOML.
    Default,
}

#[derive(Debug, Subcommand)]
enum ProfilesCommand {
    /// Load every profile and run its vectors.
    Check,
    /// Decode one frame and print the readings as JSON.
    Try {
        /// Profile, `<vendor>/<model>`.
        #[arg(long)]
        profile: String,
        /// The frame: JSON text, or hexadecimal.
        frame: String,
    },
}

#[derive(Debug, Subcommand)]
enum CredentialsCommand {
    /// Hash a password from standard input; prints the user's line for `mqtt.listen.users_file`.
    Password {
        /// User name.
        user: String,
        #[command(flatten)]
        rights: RightsArguments,
    },
    /// Make a token; prints it once, and its line for `push.tokens_file`.
    Token {
        /// Name of the token: letters, digits, - and _.
        id: String,
        #[command(flatten)]
        rights: RightsArguments,
    },
}

/// Without any: the device of the own name alone.
#[derive(Debug, Clone, Args)]
struct RightsArguments {
    /// Devices it may speak for, with commas between; `GW7-*` for all that begin so.
    #[arg(long)]
    devices: Option<String>,
    /// Topics it may publish to (users): `gas/xy/gw1/#`.
    #[arg(long)]
    topics: Option<String>,
    /// Gateways of the registry whose devices it may speak for (tokens).
    #[arg(long)]
    gateways: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TimePrecision {
    Ns,
    Us,
    Ms,
    S,
}

impl From<TimePrecision> for crate::collect::import::Precision {
    fn from(precision: TimePrecision) -> Self {
        match precision {
            TimePrecision::Ns => Self::Nanoseconds,
            TimePrecision::Us => Self::Microseconds,
            TimePrecision::Ms => Self::Milliseconds,
            TimePrecision::S => Self::Seconds,
        }
    }
}

#[derive(Debug, Subcommand)]
enum RejectsCommand {
    /// List them, last received first.
    List {
        /// Only with this code.
        #[arg(long)]
        code: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show one, with its bytes.
    Show {
        /// Number, as `list` prints it.
        id: i64,
    },
    /// Send them through decoding again, after the profile or the registry is mended.
    Replay {
        /// Only with this code.
        #[arg(long)]
        code: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum NudgesCommand {
    /// List them, newest first.
    List,
    /// Let a draft go.
    Approve {
        /// Identifier, as `list` prints it.
        id: String,
        /// Who approves.
        #[arg(long)]
        who: String,
    },
    /// Send what is approved, through the configured channel.
    Send,
}

#[derive(Debug, Args)]
struct ForecastCsv {
    /// Task file; data, weather and holidays are found beside its folder.
    #[arg(long, value_name = "FILE.json")]
    task: PathBuf,
    /// Temperatures a model may use after the origin.
    #[arg(long, value_enum)]
    mode: WeatherMode,
    /// Where to write `origin,series,timestamp,q10,q50,q90`.
    #[arg(long, value_name = "FILE.csv")]
    out: PathBuf,
    /// Series forecast at the same time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WeatherMode {
    Perfect,
    Noisy,
    Clim,
    None,
}

#[derive(Debug, Clone, Args)]
struct CityArguments {
    /// Seed; the same city for the same seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Meters, gate stations included.
    #[arg(long, default_value_t = 2_000)]
    meters: usize,
    /// Enterprises on the ledger.
    #[arg(long, default_value_t = 40)]
    enterprises: usize,
    /// Gas days of history: two winters, so that the last year can be scored with a year before it.
    #[arg(long, default_value_t = 800)]
    history_days: u32,
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

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Error(error.into())
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
    let context = Context::new(arguments.config, arguments.at);
    match arguments.command {
        Command::Run => serve::run(&context),
        Command::Check => check::run(&context),
        Command::Config {
            what: ConfigCommand::Default,
        } => {
            print!("{}", crate::settings::DEFAULT);
            Ok(())
        }
        Command::Profiles { what } => match what {
            ProfilesCommand::Check => profiles::check(&context),
            ProfilesCommand::Try { profile, frame } => {
                profiles::try_one(&context, &profile, &frame)
            }
        },
        Command::Import {
            files,
            dry_run,
            precision,
        } => import::run(&context, &files, dry_run, precision.into()),
        Command::Credentials { what } => match what {
            CredentialsCommand::Password { user, rights } => credentials::password(&user, &rights),
            CredentialsCommand::Token { id, rights } => credentials::token(&id, &rights),
        },
        Command::Rejects { what } => match what {
            RejectsCommand::List { code, limit } => rejects::list(&context, code, limit),
            RejectsCommand::Show { id } => rejects::show(&context, id),
            RejectsCommand::Replay { code } => rejects::replay(&context, code),
        },
        Command::Ledger { export } => ledger::run(&context, export.as_deref()),
        Command::Forecast => forecast::run(&context),
        Command::Backtest { days, json } => backtest::run(&context, days, json.as_deref()),
        Command::ForecastCsv(task) => forecast::csv(&task),
        Command::Declare { month, export } => plan::declare(&context, month, export.as_deref()),
        Command::Nominate { day, export } => plan::nominate(&context, day, export.as_deref()),
        Command::Nudges { what } => match what {
            NudgesCommand::List => nudges::list(&context),
            NudgesCommand::Approve { id, who } => nudges::approve(&context, &id, &who),
            NudgesCommand::Send => nudges::send(&context),
        },
        Command::Simulate { out, history, city } => simulate::run(&out, history, &city),
        Command::Demo {
            data_dir,
            address,
            factor,
            backtest_days,
            city,
        } => demo::run(&data_dir, address, factor, backtest_days, &city),
        Command::Verify => verify::run(&context),
        Command::Health => serve::health(&context),
        Command::Openapi => serve::openapi(),
    }
}
