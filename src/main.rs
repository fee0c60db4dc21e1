//! The `otapress` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    otapress::cli::main()
}
