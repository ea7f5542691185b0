//! One file per subcommand. Standard output is for results, standard error for what went wrong.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the command line speaks on both"
)]

mod backtest;
mod backup;
mod balance;
mod check;
mod clocks;
mod compact;
mod correctors;
mod credentials;
mod curves;
mod daemon;
mod demo;
mod doctor;
mod export;
mod findings;
mod forecast;
mod hand;
mod history;
mod import;
mod influx;
mod ledger;
mod modbus;
mod months;
mod nudges;
mod open;
mod outlook;
mod plan;
mod plans;
mod profiles;
mod rejects;
mod retention;
mod salvage;
mod serve;
mod simulate;
mod verify;
mod weather;

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
    /// Device profiles: check them, show one, try one on a frame, draft a new one.
    Profiles {
        #[command(subcommand)]
        what: ProfilesCommand,
    },
    /// Look at Modbus devices.
    Modbus {
        #[command(subcommand)]
        what: ModbusCommand,
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
    /// Take weather vintages from files; a running daemon takes them from `weather.files_dir`.
    Weather {
        /// Files: `.csv` with the header `station,kind,issued_at,at,temperature_c[,available_at]`, or
        /// `.json` as it is pushed.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Make passwords for meters and tokens for pushing readings.
    Credentials {
        #[command(subcommand)]
        what: CredentialsCommand,
    },
    /// Frames that could not be taken, with their reasons.
    Rejects {
        #[command(subcommand)]
        what: rejects::RejectsCommand,
    },
    /// Plans that customers file (客户用气计划).
    Plans {
        #[command(subcommand)]
        what: plans::PlansCommand,
    },
    /// Decisions about hours of load curves, and what late truth restated.
    Curves {
        #[command(subcommand)]
        what: curves::CurvesCommand,
    },
    /// What the validation rules found, and how often.
    Findings {
        #[command(subcommand)]
        what: findings::FindingsCommand,
    },
    /// Meters whose clock is off, by what their frames showed.
    Clocks {
        /// All meters whose clock was measured.
        #[arg(long)]
        all: bool,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Audit of the volume correctors: does each convert as its own pressure and temperature say?
    ///
    /// Names the slip that explains a wrong factor: base conditions, gauge for absolute pressure,
    /// compressibility left out, working volume as standard, a pressure that never moves.
    Correctors {
        /// This meter alone; told of even if all is well.
        #[arg(long)]
        meter: Option<String>,
        /// Days before now to look at.
        #[arg(long, default_value_t = 7)]
        days: u32,
        /// One JSON object a meter.
        #[arg(long)]
        json: bool,
    },
    /// What came in through the gate stations against what the meters measured (供销差).
    ///
    /// Beside it the difference with temperature taken out: diaphragm meters without a corrector at
    /// the ambient temperature of each day.
    Balance(balance::Question),
    /// The monitoring ledger of large consumers (台账).
    Ledger {
        /// Write a workbook instead of a table.
        #[arg(long, value_name = "FILE.xlsx")]
        export: Option<PathBuf>,
    },
    /// Make and keep a forecast run; print its totals by day.
    Forecast {
        #[command(subcommand)]
        what: Option<forecast::ForecastCommand>,
    },
    /// Score the last year through both operational gates, beside seasonal-naive.
    Backtest {
        /// Complete gas days to score.
        #[arg(long, default_value_t = 365)]
        days: usize,
        /// Write the whole report as JSON.
        #[arg(long, value_name = "FILE.json")]
        json: Option<PathBuf>,
        /// Write every figure by gate, node, class and lead as CSV.
        #[arg(long, value_name = "FILE.csv")]
        csv: Option<PathBuf>,
        /// Write a page to read or print.
        #[arg(long, value_name = "FILE.html")]
        html: Option<PathBuf>,
        /// The page in English.
        #[arg(long)]
        english: bool,
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
        /// Make no new one: write down that the newest one was sent as it stands.
        #[arg(long)]
        sent: bool,
        /// Write the copy for this supplier: its contracts and their days, declared quantities alone.
        #[arg(long, value_name = "NAME", requires = "export")]
        supplier: Option<String>,
    },
    /// The day-ahead nomination (日指定申请表).
    Nominate {
        /// Gas day, `YYYY-MM-DD`; tomorrow's by default.
        #[arg(long)]
        day: Option<GasDay>,
        /// Write the workbook.
        #[arg(long, value_name = "FILE.xlsx")]
        export: Option<PathBuf>,
        /// Make no new one: write down that the newest one was sent as it stands.
        #[arg(long)]
        sent: bool,
    },
    /// Off-peak nudges: list them, approve a draft, send what is approved.
    Nudges {
        #[command(subcommand)]
        what: nudges::NudgesCommand,
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
    /// Examine what collection stands on, before readings depend on it.
    Doctor {
        #[command(subcommand)]
        what: DoctorCommand,
    },
    /// Check both files page by page, the chain of decisions, and curves against their readings.
    ///
    /// Also beside a running daemon. Everything that does not fit is listed; the exit code is 1 then.
    Verify(VerifyArguments),
    /// Write readings, load curves or findings to a CSV or Parquet file, also while the daemon runs.
    Export(export::Export),
    /// Copy both stores into a new folder, also while the daemon runs.
    Backup {
        /// The folder; must not exist.
        to: PathBuf,
    },
    /// Put a backup where the configuration has its data, after checking every byte of it.
    Restore {
        /// A folder that `qiliang backup` made.
        from: PathBuf,
        /// Move a store that is there aside.
        #[arg(long)]
        replace: bool,
        /// Check the backup and change nothing.
        #[arg(long, conflicts_with = "replace")]
        check: bool,
    },
    /// What stays how long, and what would be dropped today; the running daemon drops it.
    Retention,
    /// Save what can be read of damaged files into a new folder, a backup; stop the daemon for it.
    Salvage {
        /// The folder; must not exist.
        to: PathBuf,
    },
    /// Write both files anew without free space; stop the daemon for it.
    ///
    /// Needed once for files of before the daemon gave free space back by itself.
    Compact,
    /// Load curves or readings of a meter, one JSON object a line, with the store each is from: days
    /// that the journal no longer holds are asked of the second store.
    History(history::HistoryArguments),
    /// The second store: what it refused.
    Influx {
        #[command(subcommand)]
        what: InfluxCommand,
    },
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
    /// Say what a profile reads, from where, and in which unit.
    Show {
        /// Profile, `<vendor>/<model>`.
        id: String,
    },
    /// Decode one frame and print the readings as JSON; exit code 2 and the reason if it is refused.
    Try(profiles::Try),
    /// Draft a profile from captured frames.
    New(profiles::New),
}

#[derive(Debug, Subcommand)]
enum DoctorCommand {
    /// What the brokers grant, keep and drop; exit code 1 for a warning, 2 for what loses readings.
    Broker {
        /// Only this one.
        #[arg(long, value_name = "NAME")]
        broker: Option<String>,
        /// Publish to a private topic and count what comes out: finds queues that drop.
        #[arg(long)]
        probe: bool,
        /// Messages of the probe: more than `in_flight_max` and the queue limit you fear together.
        #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        messages: u32,
    },
    /// Whether the second store is there, knows us, has its buckets and the right time, and gives back
    /// what is written; exit code 1 for a warning.
    Influx,
}

#[derive(Debug, Subcommand)]
enum InfluxCommand {
    /// Lines that the second store refused, with its reasons.
    Refused {
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Send refused lines again, after what was wrong there was mended; stop the daemon for it.
    Retry,
}

#[derive(Debug, Subcommand)]
enum ModbusCommand {
    /// Read a device once with a profile and show registers, values, alarms and times; writes nothing.
    Probe(modbus::ProbeArguments),
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

#[derive(Debug, Args)]
struct ForecastCsv {
    /// Task file; data, weather and holidays are found beside its folder.
    #[arg(long, value_name = "FILE.json")]
    task: PathBuf,
    /// Temperatures a model may use after the origin.
    #[arg(long, value_enum)]
    mode: WeatherMode,
    /// Where to write `origin,series,timestamp,q10,q50,q90,quality`.
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

#[derive(Debug, Clone, Copy, Args)]
struct VerifyArguments {
    /// Curves computed again from their readings, chosen anew every day; 0 for none.
    #[arg(long, default_value_t = 2_000, value_name = "COUNT")]
    curves: u64,
    /// Compute every curve again.
    #[arg(long, conflicts_with = "curves")]
    all_curves: bool,
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
    /// It works, but not as it should; what is amiss has been printed.
    Warned,
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
        Err(Failure::Warned) => ExitCode::from(1),
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each subcommand")]
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
            ProfilesCommand::Show { id } => profiles::show(&context, &id),
            ProfilesCommand::Try(asked) => profiles::try_one(&context, &asked),
            ProfilesCommand::New(asked) => profiles::new(&context, &asked),
        },
        Command::Modbus {
            what: ModbusCommand::Probe(arguments),
        } => modbus::run(&context, &arguments),
        Command::Rejects { what } => rejects::run(&context, what),
        Command::Plans { what } => plans::run(&context, &what),
        Command::Curves { what } => curves::run(&context, what),
        Command::Findings { what } => findings::dispatch(&context, what),
        Command::Clocks { all, json } => clocks::run(&context, all, json),
        Command::Correctors { meter, days, json } => {
            let question = correctors::Question {
                meter: meter.as_deref().map(Into::into),
                days,
                is_json: json,
            };
            correctors::run(&context, &question)
        }
        Command::Balance(question) => balance::run(&context, &question),
        Command::Import {
            files,
            dry_run,
            precision,
        } => import::run(&context, &files, dry_run, precision.into()),
        Command::Weather { files } => weather::run(&context, &files),
        Command::Credentials { what } => match what {
            CredentialsCommand::Password { user, rights } => credentials::password(&user, &rights),
            CredentialsCommand::Token { id, rights } => credentials::token(&id, &rights),
        },
        Command::Ledger { export } => ledger::run(&context, export.as_deref()),
        Command::Forecast { what } => forecast::dispatch(&context, what),
        Command::Backtest {
            days,
            json,
            csv,
            html,
            english,
        } => backtest::run(
            &context,
            days,
            &backtest::Files {
                json,
                csv,
                html,
                is_english: english,
            },
        ),
        Command::ForecastCsv(task) => forecast::csv(&task),
        Command::Declare {
            month,
            export,
            sent,
            supplier,
        } => plan::declare(
            &context,
            month,
            export.as_deref(),
            sent,
            supplier.as_deref(),
        ),
        Command::Nominate { day, export, sent } => {
            plan::nominate(&context, day, export.as_deref(), sent)
        }
        Command::Nudges { what } => nudges::dispatch(&context, what),
        Command::Simulate { out, history, city } => simulate::run(&out, history, &city),
        Command::Demo {
            data_dir,
            address,
            factor,
            backtest_days,
            city,
        } => demo::run(&data_dir, address, factor, backtest_days, &city),
        Command::Doctor {
            what:
                DoctorCommand::Broker {
                    broker,
                    probe,
                    messages,
                },
        } => doctor::brokers(&context, broker.as_deref(), probe.then_some(messages)),
        Command::Verify(arguments) => verify::run(&context, &arguments),
        Command::Export(asked) => export::run(&context, &asked),
        Command::Backup { to } => backup::backup(&context, &to),
        Command::Restore {
            from, check: true, ..
        } => backup::check(&from),
        Command::Restore { from, replace, .. } => backup::restore(&context, &from, replace),
        Command::Doctor {
            what: DoctorCommand::Influx,
        } => influx::doctor(&context),
        Command::Retention => retention::run(&context),
        Command::Salvage { to } => salvage::run(&context, &to),
        Command::Compact => compact::run(&context),
        Command::History(arguments) => history::run(&context, &arguments),
        Command::Influx {
            what: InfluxCommand::Refused { limit },
        } => influx::refused(&context, limit),
        Command::Influx {
            what: InfluxCommand::Retry,
        } => influx::retry(&context),
        Command::Health => serve::health(&context),
        Command::Openapi => serve::openapi(),
    }
}
