//! The guide is complete: every page is listed, and the page for users of VMA has a row for each
//! function, flag and enum value of its header. The contents of the pages are tested by their
//! doctests.

use std::{collections::BTreeMap, fs, path::Path};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The names whose answer is missing, empty, or given more than once.
fn unanswered<'a>(names: &'a str, page: &str) -> Vec<&'a str> {
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", name, answer, ""] = cells[..] {
            if !answer.is_empty() {
                let name = name.trim_matches('`').replace("`<wbr>`", "");
                *answers.entry(name).or_default() += 1;
            }
        }
    }
    let names = names.lines().filter(|line| !line.starts_with('#'));
    names.filter(|name| answers.get(*name) != Some(&1)).collect()
}

#[test]
fn every_name_of_vma_has_its_word() {
    let (names, page) = (read("tests/data/vma_names.txt"), read("src/guide/from_vma.md"));
    assert_eq!(unanswered(&names, &page), <[&str; 0]>::default());
    assert!(names.lines().filter(|name| name.starts_with("vma")).count() == 76);
    // The controls: a row that goes, one without an answer, and one too many.
    let row = "| `vmaMapMemory` |";
    let gone = page.replace(row, "| `vmaMapMemories` |");
    assert_eq!(unanswered(&names, &gone), ["vmaMapMemory"]);
    let empty = page.replace("| `vmaVirtualFree` | ", "| `vmaVirtualFree` | | ");
    assert_eq!(unanswered(&names, &empty), ["vmaVirtualFree"]);
    let twice = format!("{page}\n| `vmaCreateBuffer` | again |");
    assert_eq!(unanswered(&names, &twice), ["vmaCreateBuffer"]);
}

#[test]
fn every_page_is_listed_and_shown() {
    let (list, module) = (read("src/guide/README.md"), read("src/guide/mod.rs"));
    let mut pages = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(page) = name.strip_suffix(".md").filter(|&page| page != "README") else {
            continue;
        };
        assert!(list.contains(&format!("]({page})")), "{page} is not in the list");
        assert!(module.contains(&format!("include_str!(\"{name}\")")), "{page} is not shown");
        pages += 1;
    }
    assert!(pages >= 8, "{pages}");
    assert!(!list.contains("](no_such_page)"));
}
