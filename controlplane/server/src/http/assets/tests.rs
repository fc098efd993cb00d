use std::{collections::BTreeSet, path::Path};

use super::*;
use crate::http::route;

fn text(asset: &Asset) -> &str {
    std::str::from_utf8(asset.bytes).unwrap()
}

#[test]
fn every_file_of_the_folder_is_served_and_an_unknown_one_is_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/ui");
    let there: BTreeSet<String> =
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, FILES.iter().map(|file| (*file).to_owned()).collect());
    for asset in ASSETS {
        let reply = find("GET", asset.path, None).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (200, asset.bytes));
        let etag = format!("\"{}\"", reply.etag.unwrap());
        let again = find("GET", asset.path, Some(&etag)).unwrap();
        assert_eq!((again.status, again.body.len()), (304, 0));
    }
    assert!(find("GET", "/ui/other.js", None).is_none() && find("POST", "/", None).is_none());
}

#[test]
fn nothing_refers_to_another_machine_and_nothing_is_inline() {
    // Names of XML, not addresses.
    let names = ["http://www.w3.org/2000/svg"];
    for asset in ASSETS {
        let text = names.iter().fold(text(asset).to_owned(), |text, name| text.replace(name, ""));
        for wrong in
            ["http://", "https://", "\"//", "'//", "url(//", "ws://", "wss://", "javascript:", "@import", "innerHTML"]
        {
            assert!(!text.contains(wrong), "{} has {wrong}", asset.path);
        }
    }
    let page = text(ASSETS.iter().find(|asset| asset.path == "/").unwrap());
    for wrong in ["style=", " onclick", " onload", "<style", "<script>"] {
        assert!(!page.contains(wrong), "{wrong}");
    }
}

/// Paths in scripts are texts that begin with `/api/v1` or one of the root's, with `${…}` for what is filled in.
#[test]
fn every_path_that_scripts_ask_for_is_a_route_and_every_module_is_there() {
    let mut asked = 0;
    for asset in ASSETS.iter().filter(|asset| asset.content_type == JS) {
        for (method, path) in calls(text(asset)) {
            let found = route::find(&method, &path).map(|(route, _)| route.path);
            assert!(found.is_ok(), "{}: {method} {path}: {found:?}", asset.path);
            asked += 1;
        }
        for module in text(asset).split(" from \"./").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            assert!(FILES.contains(&module), "{} imports {module}", asset.path);
        }
    }
    assert!(asked >= 12, "{asked} calls were found");
}

/// Calls such as `api("GET", "/api/v1/nodes")`.
fn calls(script: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for rest in script.split("api(\"").skip(1) {
        let (method, rest) = rest.split_once("\", ").unwrap();
        let quote = rest.chars().next().unwrap();
        let path = rest[1..].split(['?', quote]).next().unwrap();
        let mut filled = String::new();
        for (nth, part) in path.split("${").enumerate() {
            filled += if nth == 0 { part } else { "x" };
            if nth > 0 {
                filled += part.split_once('}').unwrap().1;
            }
        }
        found.push((method.to_owned(), filled));
    }
    found
}
