//! The two software drivers, and which of them are installed.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{driver_files_given, lavapipe_file, swiftshader_file};

/// A driver that the scenarios run on.
pub(super) struct Driver {
    pub(super) name: &'static str,
    /// Its ICD file. `None`: not found, or the environment names the drivers.
    file: Option<PathBuf>,
    /// Whether there is any point in starting a child.
    pub(super) found: bool,
}

/// The drivers to run on: both, or those that `FENCEPOST_DRIVERS` names.
pub(super) fn drivers() -> Vec<Driver> {
    let given = driver_files_given();
    let wanted = env::var("FENCEPOST_DRIVERS").ok();
    [("lavapipe", lavapipe_file as fn() -> Option<PathBuf>), ("swiftshader", swiftshader_file)]
        .into_iter()
        .filter(|(name, _)| {
            wanted.as_ref().is_none_or(|wanted| wanted.split(',').any(|one| one.trim() == *name))
        })
        .map(|(name, find)| {
            let file = if given { None } else { find() };
            Driver { name, found: given || file.is_some(), file }
        })
        .collect()
}

impl Driver {
    /// Lets a child see this driver alone, unless the environment named the drivers: then the
    /// child chooses among those by name.
    pub(super) fn expose(&self, command: &mut Command) {
        if let Some(file) = &self.file {
            command.env("VK_DRIVER_FILES", file);
        }
    }
}
