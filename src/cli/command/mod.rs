//! One file per command, named as it is typed.

mod apply;
pub(crate) mod child;
mod console;
mod destroy;
mod eject;
mod engine;
mod events;
mod explain;
mod fmt;
mod graph;
mod list;
mod lock;
mod logs;
mod new;
mod output;
mod plan;
mod plan_json;
mod promql;
mod query;
mod render;
mod schema;
mod serve;
mod shell;
mod show;
mod state;
mod status;
mod stores;
mod summary;
mod tools;
mod validate;

use crate::Exit;
use crate::args::Command;
use crate::diagnostic::Result;
use crate::term::Printer;

/// Runs one command.
pub(crate) fn run(command: Command, printer: &Printer) -> Result<Exit> {
    match command {
        Command::New(args) => new::run(&args, printer),
        Command::Fmt(args) => fmt::run(&args, printer),
        Command::Graph(args) => graph::run(&args, printer),
        Command::Render(args) => render::run(&args, printer),
        Command::Console(args) => console::run(&args, printer),
        Command::Completions(args) => shell::completions(&args, printer),
        Command::Man(args) => shell::man(&args, printer),
        Command::Version(args) => shell::version(&args, printer),
        Command::Validate(args) => validate::run(&args, printer),
        Command::List(args) => list::run(&args, printer),
        Command::Explain(args) => explain::run(&args, printer),
        Command::Schema(args) => schema::run(&args, printer),
        Command::Eject(args) => eject::run(&args, printer),
        Command::Plan(args) => plan::run(&args, printer),
        Command::Apply(args) => apply::run(&args, printer),
        Command::Up(args) => apply::up(args, printer),
        Command::Destroy(args) => destroy::run(&args, printer),
        Command::Output(args) => output::run(&args, printer),
        Command::Show(args) => show::run(&args, printer),
        Command::State(args) => state::run(&args.command, printer),
        Command::Lock(args) => lock::run(&args.command, printer),
        Command::Status(args) => status::run(&args, printer),
        Command::Logs(args) => logs::run(&args, printer),
        Command::Stores(args) => stores::run(&args, printer),
        Command::Query(args) => query::run(&args, printer),
        Command::Promql(args) => promql::run(&args, printer),
        Command::Thanos(args) => serve::thanos(args.component, printer),
        Command::Ingress(args) => serve::ingress(&args),
        Command::Supervise(args) => serve::supervise(&args),
    }
}
