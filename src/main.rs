//! The `kinora` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    kinora::cli::main()
}
