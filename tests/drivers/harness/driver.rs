//! The two software drivers, and which of them are installed.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{driver_files_given, lavapipe_file, swiftshader_file};

/// A driver on which the scenarios run.
pub(super) struct Driver {
    pub(super) name: &'static str,
    /// Its ICD file. `None` if it was not found, or the environment names the drivers.
    file: Option<PathBuf>,
    /// Whether a child should be started at all.
    pub(super) found: bool,
}

type Find = fn() -> Option<PathBuf>;

const DRIVERS: [(&str, Find); 2] = [("lavapipe", lavapipe_file), ("swiftshader", swiftshader_file)];

/// The drivers on which to run: both, or those that `FENCEPOST_DRIVERS` names.
pub(super) fn drivers() -> Result<Vec<Driver>, String> {
    let wanted = env::var("FENCEPOST_DRIVERS").unwrap_or_else(|_| "lavapipe,swiftshader".into());
    let given = driver_files_given();
    wanted
        .split(',')
        .map(|wanted| {
            let known = DRIVERS.iter().find(|(name, _)| *name == wanted.trim());
            let (name, find) = known.ok_or_else(|| {
                format!("FENCEPOST_DRIVERS names {wanted}; there are lavapipe and swiftshader")
            })?;
            let file = if given { None } else { find() };
            Ok(Driver { name, found: given || file.is_some(), file })
        })
        .collect()
}

impl Driver {
    /// Makes only this driver visible to a child, unless the environment names the drivers; then
    /// the child chooses among those by name.
    pub(super) fn expose(&self, command: &mut Command) {
        if let Some(file) = &self.file {
            command.env("VK_DRIVER_FILES", file);
        }
    }
}
