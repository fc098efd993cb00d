//! The documents: that what they point to exists, and that what they show can be read.

use sluice_dataplane_access::Rules;

use crate::{File, Tree, Violation};

/// The page a newcomer reads first.
pub const FIRST_PAGE: &str = "docs/ARCHITECTURE.md";

/// Checks all documents.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Violation> {
    let documents = tree.files().filter(|file| file.path.ends_with(".md"));
    let mut found: Vec<_> =
        documents.flat_map(|file| check_links(tree, file).into_iter().chain(check_blocks(file))).collect();
    match tree.file(FIRST_PAGE) {
        None => found.push(Violation::of(FIRST_PAGE, "the page a newcomer reads first is missing")),
        Some(first) => found.extend(check_reachable(tree, first)),
    }
    found
}

/// Links to files that are not there.
fn check_links(tree: &Tree, file: &File) -> Vec<Violation> {
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let missing = |(line, target): (usize, &str)| {
        let path = resolve(folder, target)?;
        let broken = path.is_empty() || !tree.has(&path);
        broken.then(|| Violation::at(&file.path, line, format!("the link to '{target}' leads nowhere")))
    };
    links(&file.text).into_iter().filter_map(missing).collect()
}

/// Pages of docs/ that the first page does not lead to, itself or through its folder.
fn check_reachable(tree: &Tree, first: &File) -> Vec<Violation> {
    let targets: Vec<_> = links(&first.text).into_iter().filter_map(|(_, target)| resolve("docs", target)).collect();
    let named = |page: &&File| {
        targets
            .iter()
            .any(|target| page.path == *target || page.path.starts_with(&format!("{}/", target.trim_end_matches('/'))))
    };
    let pages = tree.files().filter(|file| file.path.starts_with("docs/") && file.path.ends_with(".md"));
    let unnamed = pages.filter(|page| page.path != first.path && !named(page));
    unnamed.map(|page| Violation::of(&page.path, format!("{FIRST_PAGE} does not lead here"))).collect()
}

/// The targets of all links in text, with their lines; what stands in fenced blocks and code spans is no link.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (at, line) in text.lines().enumerate() {
        fenced ^= line.trim_start().starts_with("```");
        // Even parts stand outside of `code`.
        let prose = line.split('`').step_by(2).filter(|_| !fenced);
        for part in line_links(prose) {
            found.push((at + 1, part));
        }
    }
    found
}

fn line_links<'a>(prose: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    // A link whose text is `code` continues in the next part, so that `](` alone marks it.
    prose.flat_map(|part| part.split("](").skip(1)).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The path a link leads to, from the root; `None` for one that leaves the tree or stays on the page.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let target = target.split(['#', ' ']).next().unwrap_or_default();
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// YAML blocks that cannot be read. Rule files are read as such; a node's file is held against its keys where those are
/// known.
fn check_blocks(file: &File) -> Vec<Violation> {
    let wrong = |(line, block): (usize, String)| {
        let error = if block.lines().any(|line| line == "rules:") {
            Rules::parse(&block, 1).err().map(|error| error.to_string())
        } else {
            serde_yaml::from_str::<serde_yaml::Mapping>(&block).err().map(|error| error.to_string())
        };
        error.map(|error| Violation::at(&file.path, line, format!("this block cannot be read: {error}")))
    };
    blocks(&file.text, "yaml").into_iter().filter_map(wrong).collect()
}

/// The fenced blocks of a language, with the lines they begin at.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String, bool)> = None;
    for (at, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                let wanted = info.split_whitespace().next() == Some(language);
                open = Some((at + 1, String::new(), wanted));
            }
            (Some(_), Some(_)) => found.extend(open.take().filter(|block| block.2).map(|block| (block.0, block.1))),
            (None, Some((_, block, _))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(files: &[(&str, &str)]) -> Vec<String> {
        let violations = check(&Tree::of(files)).into_iter();
        violations.map(|violation| violation.to_string()).collect()
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found_and_a_good_one_is_not() {
        let first =
            "[a](access.md) [b](../README.md#top) [c](adr/) [d](https://example.com) `[e](x.md)`\n[`f`](gone.md)";
        let found = said(&[(FIRST_PAGE, first), ("docs/access.md", ""), ("README.md", ""), ("docs/adr/0001.md", "")]);
        assert_eq!(found, ["docs/ARCHITECTURE.md:2: the link to 'gone.md' leads nowhere"]);
    }

    #[test]
    fn a_page_that_nothing_leads_to_is_found() {
        let found = said(&[(FIRST_PAGE, "[b](b.md)"), ("docs/a.md", ""), ("docs/b.md", "")]);
        assert_eq!(found, ["docs/a.md: docs/ARCHITECTURE.md does not lead here"]);
    }

    #[test]
    fn the_first_page_has_to_be_there() {
        assert_eq!(said(&[("README.md", "")]), ["docs/ARCHITECTURE.md: the page a newcomer reads first is missing"]);
    }

    #[test]
    fn a_block_that_cannot_be_read_as_what_it_is_is_found() {
        let yaml = |block: &str| said(&[(FIRST_PAGE, &format!("x\n```yaml\n{block}\n```\n"))]);
        assert_eq!(yaml("rules:\n  - allow: publish\n    everyone: true\n    topics: [\"a\"]"), [""; 0]);
        assert_eq!(yaml("rules:\n  - allow: publis").len(), 1);
        assert_eq!(yaml("listeners: [{bind: x}]"), [""; 0]);
        assert_eq!(yaml("listeners: [").len(), 1);
        assert_eq!(yaml("just words").len(), 1);
    }
}
