//! Names of allocations: names made at run time, and what reports show for unnamed allocations.

use std::{
    collections::HashSet,
    sync::{Mutex, OnceLock},
};

use crate::ground::sync::lock;

/// The most names that are kept, and their bytes.
const MOST: Size = Size { count: 1 << 16, bytes: 4 << 20 };
/// The same with the prefixes that stand for later names.
const MOST_WITH_STEMS: Size =
    Size { count: MOST.count + (1 << 10), bytes: MOST.bytes + (64 << 10) };
/// Stands for all other names.
const OTHER: &str = "(one of very many)";

/// Makes a name at run time, for [`AllocationDesc::name`](crate::AllocationDesc::name). Names are
/// `&'static str`, so that they cost a pointer and outlive every report. Equal names are kept once,
/// and never freed.
///
/// At most 65,536 names with 4 MiB together are kept. After that a new name is replaced by its prefix up
/// to the first digit: `rock 70000` becomes `rock …`. After 1024 different prefixes, a new one becomes
/// `(one of very many)`.
///
/// Cost: a lock and a lookup, and a heap allocation for a new name.
///
/// # Example
/// ```
/// use fencepost::{AllocationDesc, intern};
/// let file = String::from("castle.glb");
/// let memory = AllocationDesc::device_local().name(intern(&file));
/// assert!(std::ptr::eq(intern("castle.glb"), intern(&file)));
/// ```
pub fn intern(name: &str) -> &'static str {
    static NAMES: OnceLock<Mutex<Names>> = OnceLock::new();
    let mut names = lock(NAMES.get_or_init(Mutex::default));
    let whole = names.keep(name, MOST);
    whole.or_else(|| names.keep(&stem(name), MOST_WITH_STEMS)).unwrap_or(OTHER)
}

/// The name of an allocation in reports.
pub(crate) fn named(name: Option<&'static str>) -> &'static str {
    name.unwrap_or("(unnamed)")
}

/// The prefix that a name shares with names that differ in a number.
fn stem(name: &str) -> String {
    let end = name.find(|letter: char| letter.is_ascii_digit()).unwrap_or(0);
    format!("{}…", &name[..end])
}

/// A number of names, and their bytes.
#[derive(Clone, Copy)]
struct Size {
    count: usize,
    bytes: usize,
}

/// All names that are kept.
#[derive(Default)]
struct Names {
    kept: HashSet<&'static str>,
    bytes: usize,
}

impl Names {
    /// Keeps a name, unless there would be more than `most`.
    fn keep(&mut self, name: &str, most: Size) -> Option<&'static str> {
        if let Some(known) = self.kept.get(name) {
            return Some(known);
        }
        if self.kept.len() >= most.count || self.bytes + name.len() > most.bytes {
            return None;
        }
        let kept: &'static str = Box::leak(name.into());
        self.kept.insert(kept);
        self.bytes += kept.len();
        Some(kept)
    }
}

#[cfg(test)]
mod tests {
    use super::{intern, stem};

    #[test]
    fn equal_names_are_kept_once_on_all_threads() {
        let made: Vec<&'static str> = std::thread::scope(|scope| {
            let threads = [0; 4].map(|_| scope.spawn(|| intern(&format!("mesh {}", 7))));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|name| std::ptr::eq(*name, made[0]) && *name == "mesh 7"));
        assert!(!std::ptr::eq(intern("mesh 8"), made[0]));
    }

    #[test]
    fn what_comes_too_late_is_called_by_its_beginning() {
        for (name, called) in [
            ("rock 17", "rock …"),
            ("rock 17 of 20", "rock …"),
            ("17", "…"),
            ("größe9", "größe…"),
            ("a name without a number", "…"),
        ] {
            assert_eq!(stem(name), called);
        }
    }
}
