//! `sluice config`.

use std::io::{self, Write as _};

use sluice_dataplane_server::config::NodeConfig;
use sluice_service::config::reference;

use crate::{banner, cli::ConfigCommand, exit::Failure, policy};

pub(crate) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    let mut out = io::stdout();
    match command {
        ConfigCommand::Check { file } => {
            let config = NodeConfig::check(file)?;
            writeln!(out, "{} is good", file.display())?;
            write!(out, "{}{}", banner::listeners(&config, None), policy::of_listeners(&config))?;
        }
        ConfigCommand::Default => write!(out, "{}", reference::yaml(&reference::keys::<NodeConfig>()))?,
        ConfigCommand::Schema => writeln!(out, "{:#}", reference::schema::<NodeConfig>())?,
    }
    Ok(())
}
