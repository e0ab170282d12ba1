//! The floors: a directory of `src/` imports only from directories on lower floors. This test reads
//! the table in `src/README.md`. The files inside a directory have no import cycle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

#[path = "support/imports.rs"]
mod imports;

use imports::{Files, imports};

/// The floor of each directory, from the rows of the README's table: `| floor | directories | … |`.
fn floors(readme: &str) -> BTreeMap<String, u32> {
    let mut floors = BTreeMap::new();
    for line in readme.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(Ok(floor)) = cells.get(1).map(|cell| cell.parse::<u32>()) else { continue };
        for name in cells.get(2).into_iter().flat_map(|cell| cell.split('`')).skip(1).step_by(2) {
            floors.insert(name.trim_end_matches('/').to_owned(), floor);
        }
    }
    floors
}

fn sources(directory: &Path, out: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            out.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Upward imports: the file, and the module that it must not import.
fn upward(
    floors: &BTreeMap<String, u32>,
    directory: &str,
    files: &[(String, String)],
) -> Vec<String> {
    let Some(floor) = floors.get(directory) else {
        return vec![format!("`{directory}` has no floor in src/README.md")];
    };
    let mut found = Vec::new();
    for (file, source) in files {
        let imports = imports(source).into_iter().map(|import| import.path);
        let ours = imports.filter(|path| path.len() > 1 && path[0] == "crate");
        for name in ours.map(|path| path[1].clone()).collect::<BTreeSet<_>>() {
            match floors.get(&name) {
                Some(other) if name != directory && other >= floor => {
                    found.push(format!("{file} (floor {floor}) names `{name}` (floor {other})"));
                }
                _ => {}
            }
        }
    }
    found
}

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/README.md")).unwrap()
}

#[test]
fn imports_point_down() {
    let floors = floors(&readme());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut complaints = Vec::new();
    let mut directories = 0;
    for entry in fs::read_dir(source).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "lib" || name == "README" {
            continue;
        }
        let mut files = Vec::new();
        if path.is_dir() {
            sources(&path, &mut files);
        } else {
            files.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
        }
        assert!(!files.is_empty());
        complaints.extend(upward(&floors, &name, &files));
        directories += 1;
    }
    assert_eq!(directories, floors.len(), "the table and the tree differ: {floors:?}");
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// The control: planted upward imports are found, in each form that an import can have.
#[test]
fn a_planted_upward_import_is_found() {
    let floors = floors(&readme());
    for planted in [
        "use crate::allocator::Inner;",
        "use crate::{\n    ground::sync::lock,\n    allocator::{Inner, Lane},\n};",
        "fn f() { crate::vulkan::is_out_of_memory(e); }",
    ] {
        let files = [("planted.rs".to_owned(), planted.to_owned())];
        assert_eq!(upward(&floors, "retire", &files).len(), 1, "{planted}");
    }
    let clean = [("clean.rs".to_owned(), "use crate::ground::bits; // not crate::fake".to_owned())];
    assert!(upward(&floors, "retire", &clean).is_empty());
    assert_eq!(upward(&floors, "unknown", &clean).len(), 1);
}

/// All files of `src` except those of `fake`, which all extend one `State`.
fn house() -> Files {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&source, &mut found);
    let mut files = Files::default();
    for (path, text) in &found {
        let place = Path::new(path).strip_prefix(&source).unwrap().display().to_string();
        if !place.starts_with("fake/") {
            files.add(&place, text);
        }
    }
    files
}

/// The only cycle: a live block holds the allocator, whose lanes hold the blocks.
const EXCUSED: [(&str, &str); 1] = [("allocator/inner/lane", "allocator/inner")];

#[test]
fn files_of_a_directory_import_in_no_circle() {
    let files = house();
    let circles = files.circles(&EXCUSED);
    assert!(circles.is_empty(), "{circles:#?}");
    assert_eq!(files.circles(&[]).len(), 2, "nothing is excused that needs no excuse");
}

/// The control: a cycle is found through a module that re-exports, and through a child.
#[test]
fn a_planted_circle_is_found() {
    let face = "mod door;\nmod heart;\npub(crate) use heart::Heart;\npub use door::Door;\n";
    let door = "use super::Heart;\npub struct Door(Heart);\n";
    let heart = "// use super::door::Door;\npub struct Heart;\n";
    let upside_down = "pub struct Heart;\nfn f() -> Option<super::door::Door> { None }\n";
    let circles = |heart: &str| {
        let mut files = Files::default();
        for (place, text) in [("a/mod.rs", face), ("a/door.rs", door), ("a/heart.rs", heart)] {
            files.add(place, text);
        }
        files.circles(&[])
    };
    assert_eq!(circles(heart), [""; 0]);
    assert_eq!(circles(upside_down), ["a/door -> a/heart", "a/heart -> a/door"]);
    let tested =
        format!("{heart}#[cfg(test)]\nmod tests {{\n    use super::super::door::Door;\n}}\n");
    assert_eq!(circles(&tested), [""; 0]);
}

/// The storey of each module, from the groups of `mod` lines in a `mod.rs`, each after a comment.
fn storeys(face: &str) -> BTreeMap<String, usize> {
    let (mut storey, mut storeys) = (0, BTreeMap::new());
    for line in face.lines() {
        storey += usize::from(line.starts_with("// "));
        if let Some(module) = line.strip_prefix("mod ").filter(|_| storey > 0) {
            storeys.insert(module.trim_end_matches(';').to_owned(), storey);
        }
    }
    storeys
}

/// Imports from a storey of `allocator` to one below it in the `mod.rs`. `guards` is excluded,
/// because it contains both state and operations.
fn against_storeys(storeys: &BTreeMap<String, usize>, files: &Files) -> Vec<String> {
    let storey = |module: &str| {
        let name = module.strip_prefix("allocator/")?.split('/').next()?;
        storeys.get(name).filter(|_| name != "guards").copied()
    };
    let arrows = files.arrows();
    let all = arrows.iter().flat_map(|(from, all)| all.iter().map(move |to| (*from, &**to)));
    let upside_down = all.filter(|(from, to)| storey(from) < storey(to) && storey(from).is_some());
    upside_down.map(|(from, to)| format!("{from} -> {to}")).collect()
}

#[test]
fn storeys_of_the_allocator_stand_on_those_above_them_in_its_face() {
    let face = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/allocator/mod.rs");
    let mut storeys = storeys(&fs::read_to_string(face).unwrap());
    assert_eq!(storeys.values().max(), Some(&3));
    assert_eq!(against_storeys(&storeys, &house()), [""; 0]);
    // The control: an operation does not belong among the terms.
    storeys.insert("allocate".to_owned(), 1);
    let found = against_storeys(&storeys, &house());
    assert!(found.contains(&"allocator/allocate -> allocator/inner".to_owned()), "{found:?}");
}

#[test]
fn pure_floors_forbid_unsafe_code() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for pure in ["tlsf", "retire", "guard", "policy", "record", "memory", "inspect"] {
        let door = fs::read_to_string(source.join(pure).join("mod.rs")).unwrap();
        assert!(door.contains("#![forbid(unsafe_code)]"), "{pure}");
    }
}

/// These are the files of `pool` that access memory or rely on the caller for it; in `ground` it is
/// the lock.
#[test]
fn only_these_files_of_the_pool_and_the_ground_have_unsafe_code() {
    let files = with_unsafe_code("src/pool");
    assert_eq!(files, ["backing.rs", "mod.rs", "pooled.rs", "promise.rs"], "mod.rs is docs alone");
    assert_eq!(with_unsafe_code("src/ground"), ["lock.rs", "mod.rs"], "so it is here");
}

/// The files of a directory that may have unsafe code.
fn with_unsafe_code(directory: &str) -> Vec<String> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut files);
    let forbids = |source: &str| source.contains("#![forbid(unsafe_code)]");
    let mut free = files
        .iter()
        .filter(|(_, source)| !forbids(source))
        .map(|(path, _)| Path::new(path).file_name().unwrap().to_string_lossy().into_owned());
    let mut names: Vec<String> = free.by_ref().collect();
    names.sort();
    names
}

/// Lines with a `let` chain, which the oldest supported compiler in `Cargo.toml` does not accept.
fn let_chains(source: &str) -> usize {
    source.lines().filter(|line| line.contains("&& let ") && !line.contains("//")).count()
}

#[test]
fn no_let_chain_shuts_out_the_oldest_compiler() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("rust-version = \"1.85\""), "from 1.88 on this test may go");
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    for (file, source) in files {
        assert_eq!(let_chains(&source), 0, "{file}");
    }
    assert_eq!(let_chains("if is_open\n    && let Some(x) = y\n"), 1, "the control");
}
