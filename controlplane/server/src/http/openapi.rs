//! The OpenAPI document, from the table of routes.

use serde_json::{Map, Value, json};

use super::route::{ROUTES, Route};

/// The document of all routes, OpenAPI 3.1.
#[must_use]
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(route.method.to_lowercase(), operation(&route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sluice control",
            "version": "1",
            "description": "What operators do with a cluster. Lists have items and next_cursor, which is null on the last \
                            page. ETag is the revision of what is shown: send it as If-Match with a change.",
        },
        "components": {
            "securitySchemes": {
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "sluice_session",
                    "description": "of browsers; what changes something needs the header X-Sluice-Csrf besides",
                },
                "token": {"type": "http", "scheme": "bearer", "description": "slc_ID_SECRET"},
            },
            "schemas": {
                "Problem": {
                    "type": "object",
                    "required": ["type", "title", "status", "code", "detail", "instance"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "code": {"type": "string", "description": "stays the same"},
                        "detail": {"type": "string"},
                        "instance": {"type": "string"},
                        "errors": {
                            "type": "array",
                            "description": "what in the body is wrong, as far as that is one thing",
                            "items": {
                                "type": "object",
                                "required": ["pointer", "detail"],
                                "properties": {
                                    "pointer": {"type": "string", "description": "a JSON pointer, such as /spec/steer"},
                                    "detail": {"type": "string"},
                                },
                            },
                        },
                    },
                },
            },
        },
        "paths": paths,
    })
}

fn operation(route: &Route) -> Value {
    let in_path = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path =
        in_path.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let query = route.query.iter().map(
        |(name, meaning)| json!({"name": name, "in": "query", "description": meaning, "schema": {"type": "string"}}),
    );
    let problem = json!({"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}});
    let security =
        route.role.map_or_else(|| json!([]), |role| json!([{"token": [format!("{role:?}").to_lowercase()]}]));
    let tags: &[&str] = if route.is_for_browsers { &["browser"] } else { &[] };
    json!({
        "tags": tags,
        "operationId": format!("{:?}", route.op),
        "summary": route.summary,
        "parameters": in_path.chain(query).collect::<Vec<_>>(),
        "security": security,
        "responses": {
            "2XX": {"description": route.summary},
            "default": {"description": "why not", "content": problem},
        },
    })
}
