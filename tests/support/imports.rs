//! The imports of source files, parsed from their text.

use std::collections::{BTreeMap, BTreeSet};

/// A path in a file that begins with `crate`, `super`, `self` or one of the file's modules.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    pub path: Vec<String>,
    /// Whether it is a `pub use`, with any visibility.
    pub handed_on: bool,
    /// Whether it is used: what is re-exported may not be.
    pub used: bool,
}

/// The text without comments and without its unit tests, which may import from everywhere.
fn code(source: &str) -> String {
    let tests = ["#[cfg(test)]\nmod tests", "#[cfg(all(test,"].iter();
    let end = tests.filter_map(|start| source.find(start)).min().unwrap_or(source.len());
    let lines = source[..end].lines().map(|line| line.split("//").next().unwrap().trim_end());
    lines.map(|line| line.to_owned() + "\n").collect()
}

/// All imports of a file from other files.
pub fn imports(source: &str) -> Vec<Import> {
    let (mut trees, mut rest) = (Vec::new(), String::new());
    let mut tree: Option<String> = None;
    for line in code(source).lines() {
        let begins = line.starts_with("use ") || line.starts_with("pub") && line.contains(" use ");
        match &mut tree {
            None if begins => tree = Some(line.to_owned()),
            None => rest += &format!("{line}\n"),
            Some(tree) => *tree += line.trim(),
        }
        trees.extend(tree.take_if(|tree| tree.ends_with(';')));
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let words: BTreeSet<&str> = rest.split(|c| !is_name(c)).collect();
    let mut found = Vec::new();
    for tree in &trees {
        let (reach, tree) = tree.trim_end_matches(';').split_once("use ").unwrap();
        found.extend(expand(tree).into_iter().map(|path| {
            let handed_on = reach.starts_with("pub");
            let used = !handed_on || path.last().is_some_and(|name| words.contains(&**name));
            Import { path, handed_on, used }
        }));
    }
    for start in ["crate::", "super::"] {
        for (at, _) in rest.match_indices(start) {
            let is_path = |c: char| is_name(c) || c == ':';
            // `pub(in super::super)` is a visibility.
            if !rest[..at].ends_with(is_path) && !rest[..at].ends_with("(in ") {
                let end = rest[at..].find(|c| !is_path(c)).map_or(rest.len(), |end| at + end);
                let path = names(&rest[at..end]);
                found.push(Import { path, handed_on: false, used: true });
            }
        }
    }
    found
}

fn names(path: &str) -> Vec<String> {
    path.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The paths of a `use` tree: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let Some((stem, group)) = tree.split_once('{') else {
        return vec![names(tree.split(" as ").next().unwrap())];
    };
    let mut depth = 0;
    let branches = group[..group.rfind('}').unwrap()].split(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let branches = branches.map(str::trim).filter(|branch| !branch.is_empty()).flat_map(expand);
    branches.map(|branch| [names(stem), branch].concat()).collect()
}

/// Files by the paths of their modules, such as `allocator/inner`, with the imports of each.
#[derive(Default)]
pub struct Files(BTreeMap<String, Vec<Import>>);

impl Files {
    /// Adds a file, given its path below `src`: `allocator/mod.rs`.
    pub fn add(&mut self, place: &str, source: &str) {
        let module = place.trim_end_matches(".rs").trim_end_matches("/mod");
        self.0.insert(module.to_owned(), imports(source));
    }

    /// The file that defines what a path names, which others may have re-exported.
    fn definer(&self, from: &str, path: &[String]) -> Option<String> {
        let mut at: Vec<&str> = from.split('/').collect();
        let mut path = path.iter().map(String::as_str).peekable();
        match *path.peek()? {
            "crate" => {
                at.clear();
                path.next();
            }
            "self" => drop(path.next()),
            "super" => {
                while path.next_if_eq(&"super").is_some() {
                    at.pop();
                }
            }
            own if self.0.contains_key(&format!("{from}/{own}")) => {}
            _ => return None,
        }
        while let Some(inner) =
            path.next_if(|name| self.0.contains_key(&[&at[..], &[*name]].concat().join("/")))
        {
            at.push(inner);
        }
        let module = at.join("/");
        let handed_on = path.next().and_then(|name| {
            let mut imports = self.0.get(&module)?.iter();
            let import = imports.find(|it| it.handed_on && it.path.last().unwrap() == name)?;
            self.definer(&module, &import.path)
        });
        handed_on.or_else(|| self.0.contains_key(&module).then_some(module))
    }

    /// The files from which each file imports.
    pub fn arrows(&self) -> BTreeMap<&str, BTreeSet<String>> {
        let arrows = self.0.iter().map(|(from, imports)| {
            let used = imports.iter().filter(|import| import.used);
            let named = used.filter_map(|import| self.definer(from, &import.path));
            (&**from, named.filter(|to| to != from).collect())
        });
        arrows.collect()
    }

    /// The imports that form cycles, as `from -> to`, without `excused` pairs.
    pub fn circles(&self, excused: &[(&str, &str)]) -> Vec<String> {
        let mut arrows = self.arrows();
        for (from, all) in &mut arrows {
            all.retain(|to| !excused.contains(&(from, to)));
        }
        let leads_back = |from: &str, to: &str| {
            let (mut seen, mut ahead) = (BTreeSet::new(), vec![to]);
            while let Some(next) = ahead.pop().filter(|&next| next != from) {
                ahead.extend(arrows[next].iter().map(String::as_str).filter(|&to| seen.insert(to)));
            }
            seen.contains(from)
        };
        let all = arrows.iter().flat_map(|(from, to)| to.iter().map(move |to| (*from, &**to)));
        let of_circles = all.filter(|(from, to)| leads_back(from, to));
        of_circles.map(|(from, to)| format!("{from} -> {to}")).collect()
    }
}
