//! The executable `sluicectl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluice_controlplane_ctl::main(std::env::args_os())
}
