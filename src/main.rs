//! The executable: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    qiliang::cli::main()
}
