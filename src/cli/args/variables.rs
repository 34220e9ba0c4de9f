//! An environment variable for every flag: `TKS_` and the flag's name, `-` as `_`. A flag that may be given several times
//! takes one value a line. Servers are left out: `tks thanos` and `tks ingress` are configured as Thanos is, and what is meant
//! for a plan must not reach a process that a plan starts.

use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, Command};

const SERVERS: [&str; 3] = ["thanos", "ingress", "supervise"];

/// `command` with a variable for each of its flags.
pub(crate) fn with_variables(command: Command) -> Command {
    let command = command.mut_args(with_variable);
    command.mut_subcommands(|below| {
        if SERVERS.contains(&below.get_name()) {
            below
        } else {
            with_variables(below)
        }
    })
}

fn with_variable(arg: Arg) -> Arg {
    let Some(name) = arg
        .get_long()
        .filter(|name| !["help", "version"].contains(name))
    else {
        return arg;
    };
    let variable = variable(name);
    let set = std::env::var_os(&variable).is_some_and(|value| !value.is_empty());
    // An empty one is none: a pipeline sets what it does not need to nothing.
    if !set || arg.get_env().is_some() {
        return arg;
    }
    let arg = match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(FalseyValueParser::new()),
        ArgAction::Append => arg.value_delimiter('\n'),
        _ => arg,
    };
    arg.env(variable).hide_env(true)
}

/// `--lock-timeout` is `TKS_LOCK_TIMEOUT`.
fn variable(name: &str) -> String {
    format!("TKS_{}", name.to_uppercase().replace(['-', '.'], "_"))
}
