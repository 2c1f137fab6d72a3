//! Links between the project's pages lead somewhere.

use std::path::Path;

use crate::tree;

/// The targets of `[text](target)` outside of code.
fn targets(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second part lies between backticks.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for rest in prose.split("](").skip(1) {
            found.extend(rest.split_once(')').map(|(target, _)| target.to_owned()));
        }
    }
    found
}

/// The anchors of a page's headings, as they are commonly made.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_between_pages_resolves() {
    let pages = tree::files(&["md"]);
    for (path, page) in &pages {
        let folder = Path::new(path).parent().unwrap();
        for target in targets(page) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let full = tree::root().join(folder).join(file);
            assert!(
                file.is_empty() || full.exists(),
                "{path}: {target} does not exist"
            );
            if anchor.is_empty() {
                continue;
            }
            let text = if file.is_empty() {
                page.clone()
            } else {
                std::fs::read_to_string(full).unwrap()
            };
            let has = anchors(&text).iter().any(|known| known == anchor);
            assert!(has, "{path}: {target} names no heading");
        }
    }
}

#[test]
fn links_and_anchors_are_found_as_readers_see_them() {
    let page = "# A: *b* c\n[x](y.md#z) `[no](no)` [w](#v)\n```\n[no](no)\n```\n";
    assert_eq!(targets(page), ["y.md#z", "#v"]);
    assert_eq!(anchors(page), ["a-b-c"]);
}
