//! The paths of this door in the description of the port.
//!
//! Bodies are described as objects or lines only: `docs/opensearch.md` says what they may hold, and whatever else they hold is refused.

use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{
    Components, ContentBuilder, Object, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema, Type,
};

/// The shape of errors.
const ERROR: &str = "OpenSearchError";

/// A path, or several that do the same, with the methods that do it.
struct Route {
    paths: &'static [&'static str],
    methods: &'static [HttpMethod],
    summary: &'static str,
    body: Body,
    /// Those that are worth naming; the others are read as they are in bodies.
    parameters: &'static [(&'static str, Type)],
    /// Besides what all can answer.
    answers: &'static [(&'static str, Answer, &'static str)],
}

#[derive(Clone, Copy, PartialEq)]
enum Body {
    None,
    /// An object; nothing is one without keys.
    Optional,
    Object,
    Lines,
}

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Empty,
    Object,
    /// As text, or as a list with `format=json`.
    Table,
    Error,
}

/// What all of them can answer besides.
const OF_ALL: [(&str, Answer, &str); 9] = [
    (
        "400",
        Answer::Error,
        "It cannot be read, or asks for what is not supported",
    ),
    ("401", Answer::Error, "Nobody knows who asks"),
    (
        "403",
        Answer::Error,
        "The key may not, or a web page of another host asks",
    ),
    ("408", Answer::Error, "The body did not arrive in time"),
    ("413", Answer::Error, "The body is too large"),
    ("415", Answer::Error, "The body is compressed"),
    (
        "429",
        Answer::Error,
        "A budget is used up, or the node is behind; nothing was done",
    ),
    ("500", Answer::Error, "A fault of the node: its log says more"),
    ("503", Answer::Error, "The node is starting, or cannot answer"),
];

/// Clients of OpenSearch send bodies with GET, too.
const READS: &[HttpMethod] = &[HttpMethod::Get, HttpMethod::Post];
const WRITTEN: &[(&str, Type)] = &[("refresh", Type::String)];

const FOUND: (&str, Answer, &str) = ("200", Answer::Object, "What was found");
const TAKEN: (&str, Answer, &str) = ("200", Answer::Object, "Taken");
const CREATED: (&str, Answer, &str) = ("201", Answer::Object, "Taken, and there was no such document");
const CONFLICT: (&str, Answer, &str) = ("409", Answer::Error, "There is such a document already");
const NO_INDEX: (&str, Answer, &str) = ("404", Answer::Error, "There is no such index");
const UNSEEN: (&str, Answer, &str) = ("504", Answer::Error, "Taken, and not visible within 30 s");
const FULL: (&str, Answer, &str) = ("507", Answer::Error, "The disk is full, and nothing was taken");

const ROUTES: [Route; 15] = [
    Route {
        paths: &["/{index}/_search", "/_search"],
        methods: READS,
        summary: "Searches, as OpenSearch does.",
        body: Body::Optional,
        parameters: &[
            ("q", Type::String),
            ("from", Type::Integer),
            ("size", Type::Integer),
        ],
        answers: &[FOUND, NO_INDEX],
    },
    Route {
        paths: &["/{index}/_count"],
        methods: READS,
        summary: "Counts the documents of a query.",
        body: Body::Optional,
        parameters: &[("q", Type::String)],
        answers: &[
            FOUND,
            NO_INDEX,
            ("504", Answer::Error, "Time was over before all was counted"),
        ],
    },
    Route {
        paths: &["/{index}/_msearch", "/_msearch"],
        methods: READS,
        summary: "Several searches of one snapshot: a line of a header and a line of a search each.",
        body: Body::Lines,
        parameters: &[],
        answers: &[FOUND, NO_INDEX],
    },
    Route {
        paths: &["/{index}/_mget", "/_mget"],
        methods: READS,
        summary: "Documents by their keys.",
        body: Body::Object,
        parameters: &[],
        answers: &[FOUND, NO_INDEX],
    },
    Route {
        paths: &["/{index}"],
        methods: &[HttpMethod::Head],
        summary: "Whether there is an index.",
        body: Body::None,
        parameters: &[],
        answers: &[
            ("200", Answer::Empty, "There is"),
            ("404", Answer::Empty, "There is none"),
        ],
    },
    Route {
        paths: &["/{index}/_doc/{id}"],
        methods: &[HttpMethod::Get],
        summary: "A document by its key.",
        body: Body::None,
        parameters: &[],
        answers: &[
            FOUND,
            (
                "404",
                Answer::Object,
                "There is no such document, or no such index",
            ),
        ],
    },
    Route {
        paths: &["/{index}/_doc/{id}"],
        methods: &[HttpMethod::Head],
        summary: "Whether there is a document.",
        body: Body::None,
        parameters: &[],
        answers: &[
            ("200", Answer::Empty, "There is"),
            ("404", Answer::Empty, "There is none"),
        ],
    },
    Route {
        paths: &["/{index}/_doc/{id}"],
        methods: &[HttpMethod::Put, HttpMethod::Post],
        summary: "Writes a document, in place of the one that there may be.",
        body: Body::Object,
        parameters: WRITTEN,
        answers: &[TAKEN, CREATED, NO_INDEX, CONFLICT, UNSEEN, FULL],
    },
    Route {
        paths: &["/{index}/_doc"],
        methods: &[HttpMethod::Post],
        summary: "Writes a document whose key stands in it, or is made.",
        body: Body::Object,
        parameters: WRITTEN,
        answers: &[TAKEN, CREATED, NO_INDEX, CONFLICT, UNSEEN, FULL],
    },
    Route {
        paths: &["/{index}/_create/{id}"],
        methods: &[HttpMethod::Put, HttpMethod::Post],
        summary: "Writes a document that is not there yet.",
        body: Body::Object,
        parameters: WRITTEN,
        answers: &[CREATED, NO_INDEX, CONFLICT, UNSEEN, FULL],
    },
    Route {
        paths: &["/{index}/_doc/{id}"],
        methods: &[HttpMethod::Delete],
        summary: "Deletes a document.",
        body: Body::None,
        parameters: WRITTEN,
        answers: &[
            TAKEN,
            (
                "404",
                Answer::Object,
                "There is no such document, or no such index",
            ),
            UNSEEN,
            FULL,
        ],
    },
    Route {
        paths: &["/{index}/_bulk", "/_bulk"],
        methods: &[HttpMethod::Post, HttpMethod::Put],
        summary: "Several writes in their order, all of them taken or none: lines of actions and documents.",
        body: Body::Lines,
        parameters: WRITTEN,
        answers: &[TAKEN, NO_INDEX, UNSEEN, FULL],
    },
    Route {
        paths: &["/{index}/_mapping"],
        methods: &[HttpMethod::Get],
        summary: "What can be asked of each name.",
        body: Body::None,
        parameters: &[],
        answers: &[FOUND, NO_INDEX],
    },
    Route {
        paths: &["/_cat/indices", "/_cat/indices/{index}"],
        methods: &[HttpMethod::Get],
        summary: "The index, and how many documents it has.",
        body: Body::None,
        parameters: &[("format", Type::String), ("v", Type::String)],
        answers: &[("200", Answer::Table, "A line an index"), NO_INDEX],
    },
    Route {
        paths: &["/_cluster/health"],
        methods: &[HttpMethod::Get],
        summary: "Whether the index answers.",
        body: Body::None,
        parameters: &[],
        answers: &[FOUND, NO_INDEX],
    },
];

/// Adds the paths, and the shape of their errors.
pub fn describe(description: &mut OpenApi) {
    let components: &mut Components = description.components.get_or_insert_default();
    components
        .schemas
        .insert(ERROR.to_owned(), RefOr::T(error_schema()));
    for route in &ROUTES {
        for path in route.paths {
            route.add(path, &mut description.paths);
        }
    }
    // The console for people is this for clients.
    let root = description
        .paths
        .paths
        .get_mut("/")
        .and_then(|item| item.get.as_mut());
    if let Some(RefOr::T(root)) = root.and_then(|root| root.responses.responses.get_mut("200")) {
        root.content
            .insert("application/json".to_owned(), ContentBuilder::new().build());
    }
}

impl Route {
    fn add(&self, path: &str, paths: &mut Paths) {
        for method in self.methods {
            let item = PathItem::new(method.clone(), self.operation(method, path));
            match paths.paths.get_mut(path) {
                Some(known) => known.merge_operations(item),
                None => {
                    paths.paths.insert(path.to_owned(), item);
                }
            }
        }
    }

    fn operation(&self, method: &HttpMethod, path: &str) -> Operation {
        let name = |method: &HttpMethod| match method {
            HttpMethod::Put => "put",
            HttpMethod::Post => "post",
            HttpMethod::Head => "head",
            HttpMethod::Delete => "delete",
            _ => "get",
        };
        let words: Vec<&str> = path
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let mut operation = OperationBuilder::new()
            .tag("opensearch")
            .operation_id(Some(format!("opensearch_{}_{}", name(method), words.join("_"))))
            .summary(Some(self.summary))
            .request_body(self.body.described());
        for parameter in self.parameters(path) {
            operation = operation.parameter(parameter);
        }
        let is_head = *method == HttpMethod::Head;
        for (status, answer, meaning) in OF_ALL.iter().chain(self.answers) {
            let answer = if is_head { Answer::Empty } else { *answer };
            operation = operation.response(*status, answer.described(status, meaning));
        }
        operation.build()
    }

    fn parameters(&self, path: &str) -> Vec<Parameter> {
        let in_path = [
            ("index", "The name of the dataflow"),
            ("id", "The key of the document"),
        ];
        let in_path = in_path
            .into_iter()
            .filter(|(name, _)| path.contains(&format!("{{{name}}}")));
        let in_path = in_path.map(|(name, meaning)| {
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some(meaning))
                .schema(Some(Object::with_type(Type::String)))
                .build()
        });
        let in_query = self.parameters.iter().map(|(name, kind)| {
            let schema = ObjectBuilder::new().schema_type(kind.clone());
            let schema = match kind {
                Type::Integer => schema.minimum(Some(0)),
                _ => schema,
            };
            ParameterBuilder::new()
                .name(*name)
                .parameter_in(ParameterIn::Query)
                .required(Required::False)
                .schema(Some(schema))
                .build()
        });
        in_path.chain(in_query).collect()
    }
}

impl Body {
    fn described(self) -> Option<RequestBody> {
        let (kind, schema) = match self {
            Body::None => return None,
            Body::Optional | Body::Object => ("application/json", Type::Object),
            Body::Lines => ("application/x-ndjson", Type::String),
        };
        let content = ContentBuilder::new()
            .schema(Some(Object::with_type(schema)))
            .build();
        let body = RequestBodyBuilder::new().content(kind, content);
        let required = match self {
            Body::Optional => Required::False,
            _ => Required::True,
        };
        Some(body.required(Some(required)).build())
    }
}

impl Answer {
    fn described(self, status: &str, meaning: &str) -> Response {
        let response = ResponseBuilder::new().description(meaning);
        let json = |schema: RefOr<Schema>| ContentBuilder::new().schema(Some(schema)).build();
        let object = || RefOr::from(Object::with_type(Type::Object));
        let response = match self {
            Answer::Empty => response,
            // With `found` or `result`, or an error.
            Answer::Object => response.content("application/json", json(object())),
            Answer::Table => response
                .content("text/plain", json(Object::with_type(Type::String).into()))
                .content("application/json", json(Object::with_type(Type::Array).into())),
            Answer::Error => response.content("application/json", json(error_of(status))),
        };
        response.build()
    }
}

/// What the way in refuses for all routes has the shape of `/v1`.
fn error_of(status: &str) -> RefOr<Schema> {
    let own = Ref::from_schema_name(ERROR);
    let of_all = Ref::from_schema_name("ErrorBody");
    match status {
        "401" => of_all.into(),
        "403" | "429" | "500" => AnyOfBuilder::new().item(own).item(of_all).into(),
        _ => own.into(),
    }
}

fn error_schema() -> Schema {
    let text = || Object::with_type(Type::String);
    let error = ObjectBuilder::new()
        .property("type", text())
        .property("reason", text())
        .property("root_cause", Object::with_type(Type::Array))
        .required("type")
        .required("reason")
        .required("root_cause");
    let body = ObjectBuilder::new()
        .property("error", error)
        .property("status", Object::with_type(Type::Integer))
        .required("error")
        .required("status");
    Schema::Object(body.build())
}
