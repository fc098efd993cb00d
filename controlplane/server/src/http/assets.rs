//! The dashboard: files of this executable, which work without any other machine.

use ring::digest::{SHA256, digest};

use super::reply::Reply;

/// A file of the dashboard.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! assets {
    ($($path:literal $kind:ident $file:literal;)*) => {
        const ASSETS: &[Asset] = &[$(Asset {
            path: $path,
            content_type: $kind,
            bytes: include_bytes!(concat!("ui/", $file)),
        }),*];
        #[cfg(test)]
        const FILES: &[&str] = &[$($file),*];
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

assets! {
    "/" HTML "index.html";
    "/ui/style.css" CSS "style.css";
    "/ui/icon.svg" SVG "icon.svg";
    "/ui/app.js" JS "app.js";
    "/ui/api.js" JS "api.js";
    "/ui/dom.js" JS "dom.js";
    "/ui/format.js" JS "format.js";
    "/ui/shards.js" JS "shards.js";
    "/ui/overview.js" JS "overview.js";
    "/ui/topology.js" JS "topology.js";
    "/ui/map.js" JS "map.js";
    "/ui/placement.js" JS "placement.js";
    "/ui/nodes.js" JS "nodes.js";
}

/// The file of a path, unless the browser has it already.
pub(super) fn find(method: &str, path: &str, if_none_match: Option<&str>) -> Option<Reply> {
    let asset = ASSETS.iter().find(|asset| asset.path == path && matches!(method, "GET" | "HEAD"))?;
    let etag = fingerprint(asset.bytes);
    let is_known = if_none_match == Some(format!("\"{etag}\"").as_str());
    let reply = Reply::bytes(asset.content_type, if is_known { Vec::new() } else { asset.bytes.to_vec() });
    let reply = Reply { status: if is_known { 304 } else { 200 }, ..reply.etag(etag) };
    // A browser asks whether it has changed, so that it never runs the pages of another version.
    Some(reply.header("cache-control", "no-cache").header("content-security-policy", POLICY))
}

fn fingerprint(bytes: &[u8]) -> u64 {
    digest(&SHA256, bytes).as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

#[cfg(test)]
mod tests;
