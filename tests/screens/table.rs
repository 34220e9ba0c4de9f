//! The table for users of Terraform and Terragrunt (`live/terraform.md`): what it says is there is there, and what it leaves out is
//! refused with a line that says what to do.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{below, typed};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/live/terraform.md");

/// What their users type. Each is refused.
const THEIRS: &[&str] = &[
    "init",
    "init -upgrade",
    "init -reconfigure",
    "providers lock",
    "login example.com",
    "taint a.b",
    "untaint a.b",
    "workspace select x",
    "force-unlock 1234",
    "test",
    "refresh",
    "import a.b c",
    "plan -var x=1",
    "plan -var-file=x.tfvars",
    "plan -lock=false",
    "plan -input=false",
    "plan -no-color",
    "plan -compact-warnings",
    "plan -concise",
    "plan -target-file=x",
    "plan -exclude-file=x",
    "plan -detailed-exitcode",
    "run --all plan",
    "run-all apply",
    "find --json",
    "dag graph",
    "hcl fmt",
    "stack generate",
    "scaffold x",
    "catalog",
    "backend bootstrap",
    "plan --queue-include-dir x",
    "plan --queue-exclude-dir x",
    "plan --units-that-include x",
    "plan --queue-ignore-errors",
    "plan --queue-ignore-dag-order",
    "plan --filter-affected",
    "plan --feature x=y",
    "plan --report-file x",
    "plan --out-dir x",
    "plan --json-out-dir x",
    "plan --auth-provider-cmd x",
    "plan --source x",
    "plan --log-level debug",
];

#[test]
fn what_others_type_is_refused_with_what_to_do_instead() {
    for line in THEIRS {
        let done = typed(Path::new("/"), line).expect(64);
        assert!(done.stderr.contains("\nhint: "), "{line}: {}", done.stderr);
    }
}

#[test]
fn what_the_table_names_is_there() {
    let text = fs::read_to_string(TABLE).expect("the table");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").nth(1));
    let code = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let words: Vec<String> = code
        .flat_map(|code| code.split([' ', '|', '=', '\\']).map(str::to_owned))
        .collect();
    let commands = below(&[]);
    let mut flags = BTreeSet::new();
    for command in &commands {
        let below = below(&[command]);
        let lines = below.iter().map(|name| format!("{command} {name} --help"));
        for line in lines.chain([format!("{command} --help")]) {
            let help = typed(Path::new("/"), &line).expect(0).stdout;
            flags.extend(
                help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
                    .filter(|word| word.starts_with("--"))
                    .map(str::to_owned),
            );
        }
    }
    let missing: Vec<&String> = words
        .iter()
        .filter(|word| word.starts_with("--") && !flags.contains(*word))
        .collect();
    assert!(missing.is_empty(), "no command has {missing:?}");
    let named = words.iter().filter(|word| commands.contains(word)).count();
    assert!(named > 20 && words.len() > 80, "{named} of {words:?}");
}
