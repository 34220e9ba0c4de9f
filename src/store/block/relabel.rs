//! Relabelling that chooses blocks: the part of Prometheus's relabel rules that only decides (`keep`, `drop`,
//! `hashmod`), over the external labels of a block and its id.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use model::{MatchKind, Matcher};
use serde::Deserialize;

/// Why a file of relabel rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RelabelError {
    #[error("relabel configuration cannot be read: {0}")]
    Yaml(#[from] serde_yaml::Error),
    #[error(
        "relabel action {action} is not supported to select blocks, only keep, drop and hashmod"
    )]
    Action { action: String },
    #[error("relabel regex {regex}: {source}")]
    Regex {
        regex: String,
        source: model::MatcherError,
    },
    #[error("relabel rule with action hashmod needs a modulus and a target_label")]
    HashMod,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    source_labels: Vec<String>,
    #[serde(default = "semicolon")]
    separator: String,
    #[serde(default = "anything")]
    regex: String,
    #[serde(default)]
    modulus: u64,
    #[serde(default)]
    target_label: String,
    /// Read and without effect: no supported action replaces text.
    #[serde(default, rename = "replacement")]
    _replacement: String,
    #[serde(default = "replace")]
    action: String,
}

fn semicolon() -> String {
    ";".to_owned()
}

fn anything() -> String {
    "(.*)".to_owned()
}

fn replace() -> String {
    "replace".to_owned()
}

#[derive(Clone, Debug)]
enum Action {
    Keep(Matcher),
    Drop(Matcher),
    HashMod { modulus: u64, target: String },
}

#[derive(Clone, Debug)]
struct Rule {
    source_labels: Vec<String>,
    separator: String,
    action: Action,
}

/// Rules in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Relabel(Vec<Rule>);

impl Relabel {
    /// Reads a YAML list of rules; nothing is no rules.
    ///
    /// # Errors
    /// [`RelabelError`] for YAML that is no list of rules, and for rules that do more than choose.
    pub fn from_yaml(text: &str) -> Result<Self, RelabelError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let documents: Option<Vec<Document>> = serde_yaml::from_str(text)?;
        let rules = documents.unwrap_or_default().into_iter().map(Rule::new);
        Ok(Self(rules.collect::<Result<_, _>>()?))
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a block with these labels is kept. A block without any label left is not.
    #[must_use]
    pub fn keeps(&self, mut labels: BTreeMap<String, String>) -> bool {
        self.0.iter().all(|rule| rule.apply(&mut labels)) && !labels.is_empty()
    }
}

impl Rule {
    fn new(document: Document) -> Result<Self, RelabelError> {
        let matcher = |regex: String| {
            Matcher::new(MatchKind::Regex, "", regex.clone())
                .map_err(|source| RelabelError::Regex { regex, source })
        };
        let action = match document.action.to_lowercase().as_str() {
            "keep" => Action::Keep(matcher(document.regex)?),
            "drop" => Action::Drop(matcher(document.regex)?),
            "hashmod" if document.modulus > 0 && !document.target_label.is_empty() => {
                Action::HashMod {
                    modulus: document.modulus,
                    target: document.target_label,
                }
            }
            "hashmod" => return Err(RelabelError::HashMod),
            _ => {
                return Err(RelabelError::Action {
                    action: document.action,
                });
            }
        };
        Ok(Self {
            source_labels: document.source_labels,
            separator: document.separator,
            action,
        })
    }

    /// `false` drops the block.
    fn apply(&self, labels: &mut BTreeMap<String, String>) -> bool {
        let values: Vec<&str> = self
            .source_labels
            .iter()
            .map(|name| labels.get(name).map_or("", String::as_str))
            .collect();
        let value = values.join(&self.separator);
        match &self.action {
            Action::Keep(matcher) => matcher.matches(&value),
            Action::Drop(matcher) => !matcher.matches(&value),
            Action::HashMod { modulus, target } => {
                labels.insert(target.clone(), (hash(&value) % modulus).to_string());
                true
            }
        }
    }
}

/// The last eight bytes of the MD5, as Prometheus shards.
fn hash(value: &str) -> u64 {
    let digest = Md5::digest(value.as_bytes());
    digest[8..]
        .iter()
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(id: &str) -> BTreeMap<String, String> {
        [("__block_id", id), ("cluster", "eu")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    #[test]
    fn rules_keep_and_drop_by_external_labels() {
        let keep = "- {action: keep, source_labels: [cluster], regex: 'eu|us'}";
        assert!(Relabel::from_yaml(keep).expect("rules").keeps(block("a")));
        let drop = "- {action: drop, source_labels: [cluster, __block_id], regex: 'eu;a'}";
        let drop = Relabel::from_yaml(drop).expect("rules");
        assert!(!drop.keeps(block("a")));
        assert!(drop.keeps(block("b")));
        assert!(Relabel::from_yaml("").expect("none").keeps(block("a")));
    }

    #[test]
    fn hashmod_puts_every_block_in_one_shard() {
        let shard = |n: u32| {
            let text = format!(
                "- {{action: hashmod, source_labels: [__block_id], modulus: 3, target_label: shard}}\n\
                 - {{action: keep, source_labels: [shard], regex: '{n}'}}"
            );
            Relabel::from_yaml(&text).expect("rules")
        };
        for block_id in 0..20 {
            let homes = (0..3).filter(|n| shard(*n).keeps(block(&block_id.to_string())));
            assert_eq!(homes.count(), 1);
        }
        // MD5 of "a" ends in 31c399e269772661.
        assert_eq!(hash("a"), 0x31c3_99e2_6977_2661);
    }

    #[test]
    fn what_does_more_than_choose_is_refused_by_name() {
        let error = Relabel::from_yaml("- {action: labeldrop, regex: x}").expect_err("refused");
        assert!(error.to_string().contains("labeldrop"), "{error}");
        assert!(Relabel::from_yaml("- {target_label: x}").is_err());
        assert!(Relabel::from_yaml("- {action: keep, regex: '('}").is_err());
        assert!(Relabel::from_yaml("- {action: hashmod, modulus: 0}").is_err());
        assert!(Relabel::from_yaml("- {colour: red}").is_err());
    }

    #[test]
    fn a_block_without_labels_is_not_kept() {
        assert!(!Relabel::default().keeps(BTreeMap::new()));
    }
}
