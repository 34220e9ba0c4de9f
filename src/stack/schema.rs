//! What the documents of a live tree may say: one table, from which both the checks and the JSON Schema for editors are
//! made. The reserved keys are the same at every level; all other top-level keys are units.

use serde_json::{Map, Value as Json, json};

use crate::RoleCatalog;
use crate::live::format::Format;

/// What a value must be.
#[derive(Debug)]
pub(crate) enum Shape {
    Bool,
    Integer(i64, i64),
    Text(Format),
    /// A string, a number or a boolean.
    Scalar,
    Choice(&'static [&'static str]),
    /// The name of a role of the catalog.
    Role,
    /// A platform of the catalog.
    Platform,
    List(&'static Self),
    /// Free names, values of one shape.
    Map(&'static Self),
    Object(&'static [Field]),
    /// Anything: checked by who knows better, as the inputs of a unit are by its module.
    Any,
}

/// A key of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub name: &'static str,
    pub doc: &'static str,
    pub shape: Shape,
    /// Must be there: only in objects that nothing merges into.
    pub required: bool,
    /// Must be known before expressions are evaluated, because names are made of it.
    pub literal: bool,
}

const fn field(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field {
        name,
        doc,
        shape,
        required: false,
        literal: false,
    }
}

impl Field {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn literal(mut self) -> Self {
        self.literal = true;
        self
    }
}

const TEXT: Shape = Shape::Text(Format::Any);
const NAME: Shape = Shape::Text(Format::Name);
const PATH: Shape = Shape::Text(Format::Path);
const NAMES: Shape = Shape::List(&NAME);

/// The keys that mean the same in every document.
pub(crate) static RESERVED: &[Field] = &[
    field(
        "role",
        Shape::Role,
        "What the cluster is: the units that it has.",
    )
    .literal(),
    field(
        "prefix",
        NAME,
        "First part of every id; the account's folder by default.",
    )
    .literal(),
    field(
        "env",
        NAME,
        "Second part of every id; the fleet's folder by default.",
    )
    .literal(),
    field(
        "domain",
        Shape::Text(Format::Domain),
        "The domain below which hosts are named.",
    )
    .literal(),
    field(
        "platform",
        Shape::Platform,
        "Where it runs; `local` by default.",
    )
    .literal(),
    field(
        "naming",
        Shape::Choice(&["default", "teks"]),
        "How names are derived.",
    )
    .literal(),
    field(
        "tags",
        Shape::Map(&Shape::Scalar),
        "Tags of everything that can have tags.",
    ),
    field("account", Shape::Object(ACCOUNT), "The cloud account."),
    field("network", Shape::Object(NETWORK), "The cluster's network."),
    field(
        "kubernetes",
        Shape::Object(KUBERNETES),
        "How to reach the Kubernetes API.",
    ),
    field(
        "objstore",
        Shape::Object(OBJSTORE),
        "Where blocks are kept.",
    ),
    field(
        "federation",
        Shape::Object(FEDERATION),
        "Whom an observer observes, and how.",
    ),
    field("hooks", Shape::Object(HOOKS), "Commands before and after."),
];

/// The keys that stand in `fleet.yaml` only.
pub(crate) static FLEET_ONLY: &[Field] = &[
    field(
        "state",
        Shape::Object(STATE),
        "Where the fleet's state is kept.",
    ),
    field(
        "secrets",
        Shape::Object(SECRETS),
        "What seals the fleet's secrets.",
    ),
    field(
        "moved",
        Shape::List(&Shape::Object(MOVED)),
        "What is recorded under another name than the tree says now.",
    )
    .literal(),
    field(
        "removed",
        Shape::List(&Shape::Object(REMOVED)),
        "What is no longer in the tree, and what becomes of it.",
    )
    .literal(),
    field(
        "import",
        Shape::List(&Shape::Object(IMPORT)),
        "What was there before tks.",
    )
    .literal(),
];

static MOVED: &[Field] = &[
    field("from", TEXT, "The address, unit or cluster as it was.").required(),
    field("to", TEXT, "The address, unit or cluster as it is now.").required(),
];

static REMOVED: &[Field] = &[
    field("from", TEXT, "The address, unit or cluster as it was.").required(),
    field(
        "destroy",
        Shape::Bool,
        "Whether it is destroyed (the default), or forgotten and left where it is.",
    ),
];

static IMPORT: &[Field] = &[
    field("to", TEXT, "The address that it has from now on.").required(),
    field("id", TEXT, "Its provider's name for it.").required(),
];

static ACCOUNT: &[Field] = &[
    field(
        "id",
        Shape::Text(Format::AccountId),
        "The account's twelve digits, in quotes.",
    ),
    field(
        "assume_role",
        Shape::Text(Format::Arn),
        "ARN of the role to assume.",
    ),
    field("profile", TEXT, "Profile of the shared AWS configuration."),
    field(
        "partition",
        Shape::Choice(&["aws", "aws-cn", "aws-us-gov"]),
        "The AWS partition.",
    ),
];

static NETWORK: &[Field] = &[
    field(
        "cidr",
        Shape::Text(Format::Cidr),
        "The cluster's own range; nobody else's may overlap.",
    )
    .literal(),
    field(
        "pool",
        Shape::Text(Format::Cidr),
        "The range that clusters without `cidr` share out.",
    ),
    field(
        "size",
        Shape::Integer(16, 28),
        "Prefix length of what is taken from the pool.",
    ),
    field("existing", TEXT, "Id of a network that is there already."),
];

static KUBERNETES: &[Field] = &[
    field("kubeconfig", PATH, "The kubeconfig file."),
    field("context", TEXT, "The context in it."),
    field(
        "namespace",
        NAME,
        "The namespace of everything; `monitoring` by default.",
    ),
];

static OBJSTORE: &[Field] = &[
    field(
        "type",
        Shape::Choice(&["s3", "filesystem"]),
        "The kind of object store.",
    ),
    field(
        "bucket",
        Shape::Text(Format::Bucket),
        "The bucket's name, instead of the derived one.",
    )
    .literal(),
    field(
        "endpoint",
        Shape::Text(Format::Endpoint),
        "The store's host and port.",
    ),
    field("region", TEXT, "The store's region."),
    field("insecure", Shape::Bool, "Plain HTTP."),
    field(
        "path_style",
        Shape::Bool,
        "The bucket stands in the path, not in the host.",
    ),
    field("credentials", TEXT, "Where the credentials are found."),
    field(
        "create_bucket",
        Shape::Bool,
        "Whether the bucket is made; else it must be there.",
    ),
];

static FEDERATION: &[Field] = &[
    field(
        "select",
        Shape::Object(SELECT),
        "Who is observed; every observee by default.",
    ),
    field(
        "overrides",
        Shape::Map(&Shape::Map(&Shape::Any)),
        "Inputs of single peers, by key.",
    ),
    field(
        "external",
        Shape::List(&Shape::Object(EXTERNAL)),
        "Peers that tks does not manage.",
    ),
];

static SELECT: &[Field] = &[
    field(
        "roles",
        Shape::List(&Shape::Role),
        "Roles; `[observee]` by default.",
    )
    .literal(),
    field("accounts", NAMES, "Only clusters of these accounts.").literal(),
    field("regions", NAMES, "Only clusters of these regions.").literal(),
    field(
        "clusters",
        Shape::List(&TEXT),
        "Only these clusters, by key, id or path.",
    )
    .literal(),
    field(
        "not",
        Shape::List(&TEXT),
        "All but these clusters, by key, id or path.",
    )
    .literal(),
];

static EXTERNAL: &[Field] = &[
    field("name", NAME, "The peer's name.").required().literal(),
    field(
        "endpoints",
        Shape::List(&Shape::Text(Format::Endpoint)),
        "host:port of its StoreAPIs.",
    )
    .required(),
    field(
        "tls",
        Shape::Object(TLS),
        "How its endpoints are reached over TLS.",
    ),
    field(
        "labels",
        Shape::Map(&TEXT),
        "The external labels that it has.",
    ),
    field(
        "bucket",
        Shape::Object(BUCKET),
        "Its bucket, to be read by a store gateway.",
    ),
];

static TLS: &[Field] = &[
    field(
        "ca",
        PATH,
        "File with the CAs that its certificate is signed by.",
    ),
    field("cert", PATH, "File with our client certificate."),
    field("key", PATH, "File with the key of our client certificate."),
    field(
        "server_name",
        Shape::Text(Format::Domain),
        "The name that its certificate must bear.",
    ),
    field("skip_verify", Shape::Bool, "Take any certificate."),
];

static BUCKET: &[Field] = &[
    field("name", Shape::Text(Format::Bucket), "The bucket's name.").required(),
    field("region", TEXT, "The bucket's region."),
    field(
        "endpoint",
        Shape::Text(Format::Endpoint),
        "The object store's host and port.",
    ),
    field("dir", PATH, "The bucket's folder, on the local platform."),
];

static HOOKS: &[Field] = &[
    field("before_plan", HOOK_LIST, "Before a plan is made."),
    field("after_plan", HOOK_LIST, "After a plan is made."),
    field(
        "before_apply",
        HOOK_LIST,
        "Before the first change of an apply.",
    ),
    field(
        "after_apply",
        HOOK_LIST,
        "After the last change of an apply.",
    ),
    field(
        "before_destroy",
        HOOK_LIST,
        "Before the first deletion of a destroy.",
    ),
    field(
        "after_destroy",
        HOOK_LIST,
        "After the last deletion of a destroy.",
    ),
];

const HOOK_LIST: Shape = Shape::List(&Shape::Object(HOOK));

static HOOK: &[Field] = &[
    field(
        "command",
        Shape::List(&TEXT),
        "The command and its arguments.",
    )
    .required(),
    field(
        "units",
        Shape::List(&TEXT),
        "Runs around these units of the cluster, with their outputs as TKS_OUTPUT_<NAME>; without it around the cluster.",
    ),
    field(
        "working_dir",
        PATH,
        "Where it runs; the fleet's folder by default.",
    ),
    field(
        "env",
        Shape::Map(&Shape::Scalar),
        "What is added to its environment.",
    ),
    field(
        "timeout",
        Shape::Text(Format::Duration),
        "When it is killed; 10m by default.",
    ),
];

static STATE: &[Field] = &[
    field("backend", Shape::Choice(&["local", "s3"]), "Kind of store.")
        .required()
        .literal(),
    field(
        "bucket",
        Shape::Text(Format::Bucket),
        "The bucket of the states.",
    )
    .literal(),
    field("prefix", PATH, "What their names begin with.").literal(),
    field("region", TEXT, "The bucket's region.").literal(),
    field(
        "endpoint",
        Shape::Text(Format::Endpoint),
        "The store's host and port.",
    )
    .literal(),
    field("path_style", Shape::Bool, "The bucket stands in the path.").literal(),
    field("profile", TEXT, "Profile of the shared AWS configuration.").literal(),
];

static SECRETS: &[Field] = &[
    field("key_file", PATH, "The file of the fleet's key.").literal(),
    field(
        "kms_key",
        Shape::Text(Format::Arn),
        "ARN of the KMS key that wraps the fleet's key.",
    )
    .literal(),
];

/// The JSON Schema (draft 2020-12) of a document: `fleet`, `account`, `region` or `cluster`, with the roles, platforms and units of
/// `catalog`; `None` when there is no such document.
#[must_use]
pub fn json_schema(kind: &str, catalog: &dyn RoleCatalog) -> Option<Json> {
    if !["fleet", "account", "region", "cluster"].contains(&kind) {
        return None;
    }
    let mut properties = Map::new();
    let own = if kind == "fleet" { FLEET_ONLY } else { &[] };
    for field in RESERVED.iter().chain(own) {
        properties.insert(field.name.to_owned(), described(field, catalog));
    }
    for role in catalog.roles() {
        for unit in catalog.units(&role).unwrap_or_default() {
            let doc = format!("Inputs of the unit `{unit}`.");
            properties
                .entry(unit)
                .or_insert_with(|| json!({ "type": ["object", "null"], "description": doc }));
        }
    }
    Some(json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("{kind}.yaml"),
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": false,
    }))
}

fn described(field: &Field, catalog: &dyn RoleCatalog) -> Json {
    let mut schema = json!({ "anyOf": [field.shape.json(catalog), { "type": "null" }] });
    if !field.literal && !matches!(field.shape, Shape::Any | Shape::Text(_) | Shape::Scalar) {
        let expression = json!({ "type": "string", "pattern": "^\\$\\{.*\\}$" });
        schema["anyOf"]
            .as_array_mut()
            .into_iter()
            .for_each(|any| any.push(expression.clone()));
    }
    schema["description"] = field.doc.into();
    schema
}

impl Shape {
    fn json(&self, catalog: &dyn RoleCatalog) -> Json {
        match self {
            Self::Bool => json!({ "type": "boolean" }),
            Self::Integer(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Text(format) => match format.pattern() {
                Some(pattern) => {
                    json!({ "type": "string", "pattern": format!("{pattern}|\\$\\{{") })
                }
                None => json!({ "type": "string" }),
            },
            Self::Scalar => json!({ "type": ["string", "number", "boolean"] }),
            Self::Choice(names) => json!({ "enum": names }),
            Self::Role => json!({ "enum": catalog.roles() }),
            Self::Platform => json!({ "enum": catalog.platforms() }),
            Self::List(item) => json!({ "type": "array", "items": item.json(catalog) }),
            Self::Map(value) => {
                json!({ "type": "object", "additionalProperties": value.json(catalog) })
            }
            Self::Object(fields) => object(fields, catalog),
            Self::Any => json!({}),
        }
    }
}

fn object(fields: &[Field], catalog: &dyn RoleCatalog) -> Json {
    let mut properties = Map::new();
    for field in fields {
        properties.insert(field.name.to_owned(), described(field, catalog));
        if let Shape::List(_) = field.shape {
            let doc = format!("Appended to `{}`.", field.name);
            let schema = json!({ "allOf": [field.shape.json(catalog)], "description": doc });
            properties.insert(format!("{}+", field.name), schema);
        }
    }
    let required: Vec<&str> = fields
        .iter()
        .filter(|f| f.required)
        .map(|f| f.name)
        .collect();
    let mut schema =
        json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}
