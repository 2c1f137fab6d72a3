//! The table of attacks in SECURITY.md has every row, and names tests that exist.

use std::fs;

use crate::tree;

/// The classes of attack, as they are numbered.
const ROWS: [&str; 24] = [
    "1", "2", "3", "4", "5", "6", "7", "7b", "8", "9", "10", "11", "12", "13", "14", "15", "16",
    "17", "18", "19", "20", "21", "22", "23",
];

/// Those against what this version does not have.
const WITHOUT_SUBJECT: [&str; 1] = ["14"];

/// The columns of each row.
fn rows() -> Vec<Vec<String>> {
    let page = fs::read_to_string(tree::root().join("SECURITY.md")).unwrap();
    let lines = page.lines().filter(|line| line.starts_with("| "));
    let columns = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|');
        inner
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    lines
        .map(columns)
        .filter(|row| !row[0].is_empty())
        .collect()
}

/// The tests that a cell names: file and name.
fn tests(cell: &str) -> Vec<(String, String)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let test = |text: &str| {
        let (file, name) = text.split_once("::").unwrap_or_else(|| panic!("{text}"));
        (file.to_owned(), name.to_owned())
    };
    quoted.map(test).collect()
}

#[test]
fn every_attack_has_a_row_with_tests_or_says_that_it_has_no_subject() {
    let rows = rows();
    let numbers: Vec<&str> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(numbers, ROWS);
    for row in &rows {
        assert_eq!(row.len(), 4, "{row:?}");
        let has_none = tests(&row[3]).is_empty();
        assert_eq!(has_none, row[2].contains("no subject yet"), "{row:?}");
        assert_eq!(
            has_none,
            WITHOUT_SUBJECT.contains(&row[0].as_str()),
            "{row:?}"
        );
    }
}

#[test]
fn every_test_that_the_table_names_exists() {
    let mut found = 0;
    for (file, name) in rows().iter().flat_map(|row| tests(&row[3])) {
        let path = tree::root().join(&file);
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{file}: {error}"));
        let declared = if file.ends_with(".rs") {
            text.contains(&format!("fn {name}("))
        } else {
            text.contains(&format!("test(\"{name}\""))
        };
        assert!(declared, "{file} has no test {name}");
        found += 1;
    }
    assert!(found > 60, "{found} tests");
}
