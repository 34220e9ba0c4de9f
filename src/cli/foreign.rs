//! What people who come from Terraform or Terragrunt type, and what it is called here or why it is not.

/// A command of theirs.
const COMMANDS: &[(&str, &str)] = &[
    (
        "init",
        "nothing is to be initialised: `tks new fleet` begins a tree, `tks plan` reads it",
    ),
    (
        "refresh",
        "`tks apply --refresh-only` records what was changed outside of tks",
    ),
    (
        "import",
        "`import:` in fleet.yaml, seen in a plan before it happens; by hand `tks state import ADDRESS ID`",
    ),
    (
        "taint",
        "`tks apply --replace ADDRESS` makes it anew, and the plan shows it first",
    ),
    (
        "untaint",
        "nothing is ever marked: `--replace ADDRESS` is said where it is wanted",
    ),
    (
        "workspace",
        "the folder is the workspace: a fleet per environment, each with a state of its own",
    ),
    (
        "force-unlock",
        "`tks lock list` says who holds a lock, `tks lock release CLUSTER` removes what a killed process left",
    ),
    (
        "unlock",
        "`tks lock list` says who holds a lock, `tks lock release CLUSTER` removes what a killed process left",
    ),
    (
        "providers",
        "providers are part of the binary: nothing is downloaded or pinned",
    ),
    (
        "get",
        "modules are part of the binary or lie in `modules/`: nothing is downloaded",
    ),
    ("login", "there is no registry"),
    ("logout", "there is no registry"),
    ("metadata", "expressions have no functions"),
    (
        "test",
        "`tks validate` and `tks plan --detailed-exitcode` check a tree; `tks promql test` checks rules",
    ),
    ("eval", "`tks console` evaluates expressions"),
    (
        "run",
        "`tks plan` and `tks apply` are for all units below a folder",
    ),
    (
        "run-all",
        "`tks plan` and `tks apply` are for all units below a folder",
    ),
    ("plan-all", "`tks plan` is for all units below a folder"),
    ("apply-all", "`tks apply` is for all units below a folder"),
    (
        "destroy-all",
        "`tks destroy` is for all units below a folder",
    ),
    ("find", "`tks list --json`"),
    ("dag", "`tks graph`, or `tks list --dag`"),
    ("hcl", "`tks fmt`, `tks validate`"),
    ("hclfmt", "`tks fmt`"),
    ("hclvalidate", "`tks validate`"),
    (
        "stack",
        "a cluster's folder is the stack: `tks list`, `tks plan FOLDER`, `tks output FOLDER`",
    ),
    ("catalog", "`tks eject` writes a built-in module out"),
    ("scaffold", "`tks new`"),
    (
        "backend",
        "where the state is kept is said in fleet.yaml, and made when it is first needed",
    ),
    ("exec", "tks runs no commands of others"),
    ("info", "`tks version --json`, `tks render`"),
    ("render-json", "`tks render --json`"),
    ("output-all", "`tks output FOLDER`"),
];

/// A flag of theirs, without its dashes.
const FLAGS: &[(&str, &str)] = &[
    ("var", "`--set a.b=YAML` sets a value of every cluster"),
    (
        "var-file",
        "values lie in the tree; `--set a.b=YAML` is for one run",
    ),
    (
        "input",
        "nothing is asked without a terminal; `--auto-approve` answers in advance",
    ),
    (
        "non-interactive",
        "nothing is asked without a terminal; `--auto-approve` answers in advance",
    ),
    ("no-color", "`--color never`, or the variable NO_COLOR"),
    (
        "lock",
        "locks cannot be left out; a plan takes none, and `--lock-timeout 5m` waits",
    ),
    ("compact-warnings", "warnings are short as they are"),
    ("concise", "output is short as it is"),
    (
        "show-sensitive",
        "secrets are never shown; `tks output FOLDER UNIT.NAME` prints one that is meant to be read",
    ),
    ("upgrade", "nothing is downloaded"),
    ("reconfigure", "nothing is to be initialised"),
    (
        "migrate-state",
        "`tks state pull` and `tks state push` move a state",
    ),
    ("target-file", "`--filters-file FILE` has one filter a line"),
    (
        "exclude-file",
        "`--filters-file FILE` has one filter a line: `!name` leaves out",
    ),
    ("state", "the state of a fleet is where fleet.yaml says"),
    ("backup", "earlier versions of a state are always kept"),
    (
        "generate-config-out",
        "the tree is written by hand; the plan of an `import:` shows what differs from it",
    ),
    (
        "raw",
        "`tks output FOLDER UNIT.NAME` prints one value, bare",
    ),
    (
        "recursive",
        "`tks fmt` goes through all files below a folder",
    ),
    ("all", "commands are for all units below a folder"),
    ("graph", "`--filter '...UNIT'` is a unit and what needs it"),
    ("queue-include-dir", "`--filter ./path`"),
    ("queue-exclude-dir", "`--filter '!./path'`"),
    (
        "queue-excludes-file",
        "`--filters-file FILE`: `!name` leaves out",
    ),
    (
        "queue-strict-include",
        "`--filter` takes nothing along that is not named",
    ),
    ("queue-include-units-reading", "`--filter reading=FILE`"),
    ("units-that-include", "`--filter reading=FILE`"),
    (
        "queue-include-external",
        "`--with-dependencies`, or `--filter 'UNIT...'`",
    ),
    (
        "queue-exclude-external",
        "what lies outside of a path is read and never changed",
    ),
    (
        "queue-ignore-errors",
        "a failure stops what depends on it and nothing else; `--fail-fast` begins nothing new",
    ),
    ("queue-ignore-dag-order", "the order cannot be left out"),
    ("filter-affected", "`--affected=main`"),
    ("feature", "`--set a.b=YAML`"),
    ("working-dir", "`--chdir DIR`"),
    ("out-dir", "`--out FILE` keeps one plan of all units"),
    (
        "json-out-dir",
        "`tks show --json FILE` of a plan kept with `--out FILE`",
    ),
    ("report-file", "`--summary-file FILE`"),
    (
        "summary-per-unit",
        "`--summary-file FILE` has counts per unit",
    ),
    ("source", "modules in `modules/` override the built-in ones"),
    (
        "log-level",
        "output is short as it is; servers take `--log.level`",
    ),
    ("experiment", "there are no experiments"),
    ("strict-mode", "what is wrong is always an error"),
    (
        "auth-provider-cmd",
        "credentials come from where the platform's own tools have them",
    ),
];

/// What to say to a command line that was not understood.
pub(crate) fn hint(words: &[String]) -> Option<String> {
    let of = |table: &[(&str, &str)], word: &str| {
        let found = table.iter().find(|(theirs, _)| *theirs == word);
        found.map(|(_, ours)| (*ours).to_owned())
    };
    let command = words.iter().find(|word| !word.starts_with('-'));
    if let Some(ours) = command.and_then(|command| of(COMMANDS, command)) {
        return Some(ours);
    }
    let flags = words
        .iter()
        .filter(|word| word.starts_with('-') && word.len() > 2);
    for flag in flags {
        let name = flag
            .trim_start_matches('-')
            .split('=')
            .next()
            .unwrap_or_default();
        if let Some(ours) = of(FLAGS, name) {
            return Some(ours);
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if !flag.starts_with("--") && name.chars().all(is_word) {
            return Some(format!("flags have two dashes: -{flag}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_tools_are_answered_with_ours() {
        let hint = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            hint(&words)
        };
        assert!(hint("taint a.b").is_some_and(|it| it.contains("--replace")));
        assert!(hint("plan -var x=1").is_some_and(|it| it.contains("--set")));
        assert!(hint("apply -auto-approve").is_some_and(|it| it.contains("--auto-approve")));
        assert_eq!(hint("plan --frobnicate"), None);
        assert_eq!(hint("promql parse -a[5m]"), None);
    }
}
