//! Names of allocations: names made at run time, and what reports show for unnamed allocations.

use std::{
    collections::HashSet,
    sync::{Mutex, OnceLock},
};

use crate::ground::sync::lock;

/// Makes a name at run time, for [`AllocationDesc::name`](crate::AllocationDesc::name). Names are
/// `&'static str`, so that they cost one pointer and outlive every report. Equal names are stored
/// once, and never freed: use names for kinds of resources, or for files, but not a new one in
/// every frame.
///
/// Cost: a lock and a lookup; for a new name, also a heap allocation.
///
/// # Example
/// ```
/// use fencepost::{AllocationDesc, intern};
/// let file = String::from("castle.glb");
/// let memory = AllocationDesc::device_local().name(intern(&file));
/// assert!(std::ptr::eq(intern("castle.glb"), intern(&file)));
/// ```
pub fn intern(name: &str) -> &'static str {
    static NAMES: OnceLock<Mutex<HashSet<&'static str>>> = OnceLock::new();
    let mut names = lock(NAMES.get_or_init(Mutex::default));
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.into());
    names.insert(kept);
    kept
}

/// The name of an allocation in reports.
pub(crate) fn named(name: Option<&'static str>) -> &'static str {
    name.unwrap_or("(unnamed)")
}

#[cfg(test)]
mod tests {
    use super::intern;

    #[test]
    fn equal_names_are_kept_once_on_all_threads() {
        let made: Vec<&'static str> = std::thread::scope(|scope| {
            let threads = [0; 4].map(|_| scope.spawn(|| intern(&format!("mesh {}", 7))));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|name| std::ptr::eq(*name, made[0]) && *name == "mesh 7"));
        assert!(!std::ptr::eq(intern("mesh 8"), made[0]));
    }
}
