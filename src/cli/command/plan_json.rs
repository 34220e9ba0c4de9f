//! A plan in the shape of `terraform show -json`, for policy tools.

use plan::{Action, Change, Drift, Plan};
use serde_json::{Map, Value as Json, json};
use stack::{Attributes, Value};

/// `resource_changes[]` with Terraform's field names, plus `unit`.
pub(crate) fn plan(plan: &Plan) -> Json {
    let changes = plan
        .changes
        .iter()
        .filter(|change| change.action != Action::Skipped && !change.is_left_out());
    let drift: Vec<Json> = plan.drift.iter().map(drift).collect();
    let applyable = plan.bookkeeping || !plan.is_empty();
    json!({
        "format_version": "1.2",
        "tks_version": plan.tks,
        "timestamp": plan.created,
        "fleet": plan.fleet.name,
        "resource_changes": changes.map(change).collect::<Vec<_>>(),
        "resource_drift": drift,
        "applyable": applyable,
        "complete": plan.selection.is_none(),
        "errored": false,
    })
}

fn drift(drift: &Drift) -> Json {
    let actions = if drift.gone { ["delete"] } else { ["update"] };
    let paths: Vec<&str> = drift.diffs.iter().map(|diff| diff.path.as_str()).collect();
    json!({
        "address": drift.address.to_string(),
        "unit": drift.address.unit.to_string(),
        "mode": "managed",
        "type": drift.address.kind,
        "name": drift.address.name,
        "index": drift.address.key,
        "change": { "actions": actions, "paths": paths },
    })
}

fn change(change: &Change) -> Json {
    let side = |attributes: &Option<Attributes>| attributes.as_ref().map_or(Json::Null, clear);
    let unknown = change
        .after
        .as_ref()
        .map_or(Json::Null, |after| marks(after, &is_unknown));
    let secret = change
        .after
        .as_ref()
        .map_or(Json::Null, |after| marks(after, &is_secret));
    json!({
        "address": change.address.to_string(),
        "unit": change.address.unit.to_string(),
        "mode": "managed",
        "type": change.address.kind,
        "name": change.address.name,
        "index": change.address.key,
        "provider_name": change.address.kind.split('.').next(),
        "action_reason": super::events::reason(change),
        "change": {
            "actions": actions(change),
            "before": side(&change.before),
            "after": side(&change.after),
            "after_unknown": unknown,
            "before_sensitive": change.before.as_ref().map_or(Json::Null, secrets),
            "after_sensitive": secret,
        },
    })
}

fn actions(change: &Change) -> &'static [&'static str] {
    match change.action {
        Action::Replace if change.lifecycle.create_before_destroy => &["create", "delete"],
        Action::Create => &["create"],
        Action::Update => &["update"],
        Action::Replace => &["delete", "create"],
        Action::Delete => &["delete"],
        Action::Forget => &["forget"],
        Action::NoOp | Action::Skipped => &["no-op"],
    }
}

/// Attributes as JSON, without what is secret.
pub(crate) fn clear(attributes: &Attributes) -> Json {
    Json::Object(
        attributes
            .iter()
            .map(|(name, value)| (name.clone(), json(value)))
            .collect(),
    )
}

/// Secrets and unknowns read as null, as unknowns do in Terraform.
pub(crate) fn json(value: &Value) -> Json {
    match value {
        Value::Null | Value::Secret(_) | Value::Unknown(_) => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::String(text) => json!(text),
        Value::List(values) => values.iter().map(json).collect(),
        Value::Map(map) => clear(map),
    }
}

fn is_unknown(value: &Value) -> bool {
    matches!(value, Value::Unknown(_))
}

fn is_secret(value: &Value) -> bool {
    matches!(value, Value::Secret(_))
}

/// Where secrets are.
pub(crate) fn secrets(attributes: &Attributes) -> Json {
    marks(attributes, &is_secret)
}

/// `true` where `is` holds, and nothing where it holds nowhere.
fn marks(attributes: &Attributes, is: &impl Fn(&Value) -> bool) -> Json {
    let marked = attributes
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), mark(value, is)?)));
    Json::Object(marked.collect::<Map<_, _>>())
}

fn mark(value: &Value, is: &impl Fn(&Value) -> bool) -> Option<Json> {
    match value {
        value if is(value) => Some(Json::Bool(true)),
        Value::Map(map) => match marks(map, is) {
            Json::Object(found) if found.is_empty() => None,
            found => Some(found),
        },
        Value::List(values) => {
            let found: Vec<Option<Json>> = values.iter().map(|value| mark(value, is)).collect();
            let any = found.iter().any(Option::is_some);
            any.then(|| {
                found
                    .into_iter()
                    .map(|mark| mark.unwrap_or(Json::Bool(false)))
                    .collect()
            })
        }
        _ => None,
    }
}
