//! Floors: a directory of `src/` names directories on lower floors only. The table in
//! `src/README.md` is the law; this test reads it.

use std::{collections::BTreeMap, fs, path::Path};

/// Directory → floor, from the rows of the README's table: `| floor | directories | … |`.
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

/// The modules of this crate that a source text names, `crate::name` or in a `use crate::{…}`.
fn named_modules(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in source.match_indices("crate::") {
        let line_start = source[..at].rfind('\n').map_or(0, |newline| newline + 1);
        if source[line_start..at].contains("//") {
            continue;
        }
        let rest = &source[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                if depth == 0 || (depth == 1 && c == ',') {
                    names.push(head(item.trim()));
                    item.clear();
                } else {
                    item.push(c);
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            names.push(head(rest));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn head(path: &str) -> String {
    path.chars().take_while(|&c| c.is_alphanumeric() || c == '_').collect()
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

/// Upward imports: file, and the module it must not name.
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
        // Unit tests may look at the whole house.
        let source = source.split("#[cfg(test)]").next().unwrap_or_default();
        for name in named_modules(source) {
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

/// The control: planted upward imports, in each form an import can take, are found.
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

/// What a source text imports, a path for each, `{…}` spelled out.
fn imports(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join(" ");
    let uses = code.split(';').filter_map(|item| Some(item.rsplit_once("use ")?.1.to_owned()));
    let mut trees: Vec<String> = uses.collect();
    let mut paths = Vec::new();
    while let Some(tree) = trees.pop() {
        let Some((stem, rest)) = tree.split_once('{') else {
            paths.push(tree.trim().to_owned());
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth < 0 || (depth == 0 && c == ',') {
                trees.push(format!("{}{}", stem.trim(), item.trim()));
                item.clear();
            } else {
                item.push(c);
            }
            if depth < 0 {
                break;
            }
        }
    }
    paths
}

/// The files of a directory, by the path of their module, that others of it import and that import those.
/// A door and what is behind it are one.
fn cycle(files: &BTreeMap<Vec<String>, String>) -> Vec<String> {
    let target = |from: &[String], import: &str| {
        let mut at = from.to_vec();
        let steps: Vec<&str> = import.split("::").map(str::trim).collect();
        let mut steps = steps.as_slice();
        match steps.first() {
            Some(&"crate") => at.clear(),
            Some(&("super" | "self")) => {}
            _ => return None,
        }
        if at.is_empty() {
            steps = &steps[1..];
        }
        let mut found = None;
        for &step in steps {
            match step {
                "self" => {}
                "super" => _ = at.pop(),
                name => at.push(name.to_owned()),
            }
            found = files.contains_key(&at).then(|| at.clone()).or(found);
        }
        found.filter(|found| !found.starts_with(from) && !from.starts_with(found))
    };
    let mut edges: BTreeMap<&[String], Vec<Vec<String>>> = BTreeMap::new();
    for (module, source) in files {
        let found = imports(source).into_iter().filter_map(|import| target(module, &import));
        edges.insert(module, found.collect());
    }
    // Who imports nobody that is left goes, and whom nobody imports, until none does: the rest goes round.
    let ends = |edges: &BTreeMap<&[String], Vec<Vec<String>>>, module: &[String]| {
        edges[module].iter().all(|to| !edges.contains_key(&**to))
            || !edges.values().flatten().any(|to| to == module)
    };
    while let Some(module) = edges.keys().copied().find(|module| ends(&edges, module)) {
        edges.remove(module);
    }
    edges.into_keys().map(|module| module.join("/")).collect()
}

fn modules(directory: &str) -> BTreeMap<Vec<String>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, folder) = (Vec::new(), root.join(directory));
    if folder.is_dir() {
        sources(&folder, &mut files);
    }
    let module = |path: &str| {
        let path = Path::new(path).strip_prefix(&root).unwrap().with_extension("");
        let mut steps: Vec<String> =
            path.iter().map(|step| step.to_string_lossy().into_owned()).collect();
        steps.retain(|step| step != "mod");
        steps
    };
    let files = files.into_iter().map(|(path, source)| (module(&path), source));
    files.filter(|(module, _)| module.last().is_some_and(|name| name != "tests")).collect()
}

/// But for the chapters of one `State` and of one `Inner`.
#[test]
fn files_of_a_directory_form_no_cycle() {
    let mut directories = 0;
    for (directory, _) in floors(&readme()) {
        let files = modules(&directory);
        if files.is_empty() || ["fake", "allocator"].contains(&directory.as_str()) {
            continue;
        }
        assert_eq!(cycle(&files), [""; 0], "in {directory}");
        directories += 1;
    }
    assert!(directories >= 9, "{directories} directories");
    // The control: the chapters do.
    assert!(cycle(&modules("fake")).len() > 2);
}

/// The control: a planted cycle is found, in each form an import can take.
#[test]
fn a_planted_cycle_is_found() {
    for planted in ["use super::two::B;", "use super::{three, two::{B, C}};", "use crate::x::two;"]
    {
        let files = [("one", planted), ("two", "use super::one::A;"), ("three", "use super::two;")];
        let module = |(name, source): (&str, &str)| {
            (vec!["x".to_owned(), name.to_owned()], source.to_owned())
        };
        let found = cycle(&files.map(module).into());
        let all = planted.contains("three");
        assert_eq!(found.len(), 2 + usize::from(all), "{planted}: {found:?}");
        let clean = [files[1], files[2], ("one", "// use super::two::B;\nuse super::Door;")];
        assert_eq!(cycle(&clean.map(module).into()), [""; 0]);
    }
}

#[test]
fn pure_floors_forbid_unsafe_code() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for pure in ["tlsf", "retire", "guard", "policy", "record", "memory", "inspect"] {
        let door = fs::read_to_string(source.join(pure).join("mod.rs")).unwrap();
        assert!(door.contains("#![forbid(unsafe_code)]"), "{pure}");
    }
}

/// In `pool` the files that touch memory, or take the caller's word for it, are these.
#[test]
fn only_three_files_of_the_pool_have_unsafe_code() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pool"), &mut files);
    let forbids = |source: &str| source.contains("#![forbid(unsafe_code)]");
    let mut free = files
        .iter()
        .filter(|(_, source)| !forbids(source))
        .map(|(path, _)| Path::new(path).file_name().unwrap().to_string_lossy().into_owned());
    let mut names: Vec<String> = free.by_ref().collect();
    names.sort();
    assert_eq!(names, ["backing.rs", "mod.rs", "pooled.rs", "promise.rs"], "mod.rs is docs alone");
}

/// Lines that chain a `let`: the compiler that `Cargo.toml` names as the oldest does not know that yet.
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
