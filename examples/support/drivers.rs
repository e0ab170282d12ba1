//! The locations of the two software drivers, and how the Vulkan loader finds the second one.

use std::env;
use std::path::{Path, PathBuf};

/// The command that installs both software drivers and the validation layer on Debian and Ubuntu.
pub(crate) const INSTALL: &str = "apt-get install -y --no-install-recommends \
     mesa-vulkan-drivers vulkan-validationlayers chromium";

/// The environment variable for SwiftShader's ICD file if it is in none of the known places.
const SWIFTSHADER_VARIABLE: &str = "FENCEPOST_SWIFTSHADER";

/// If one of these variables is set, the user has chosen the drivers, and none is added.
const DRIVER_VARIABLES: [&str; 3] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"];

const LAVAPIPE_FOLDERS: [&str; 4] = [
    "/usr/share/vulkan/icd.d",
    "/usr/local/share/vulkan/icd.d",
    "/etc/vulkan/icd.d",
    "/usr/local/etc/vulkan/icd.d",
];

const SWIFTSHADER_FILES: [&str; 6] = [
    "/usr/lib/chromium/vk_swiftshader_icd.json",
    "/usr/lib/chromium-browser/vk_swiftshader_icd.json",
    "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
    "/opt/google/chrome/vk_swiftshader_icd.json",
    "/opt/chromium.org/chromium/vk_swiftshader_icd.json",
    "/usr/share/vulkan/icd.d/vk_swiftshader_icd.json",
];

/// The ICD file of lavapipe in the loader's default folders, if it is installed.
pub(crate) fn lavapipe_file() -> Option<PathBuf> {
    LAVAPIPE_FOLDERS.iter().find_map(|folder| {
        let mut files: Vec<PathBuf> = Path::new(folder)
            .read_dir()
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.starts_with("lvp_icd.")
                    && name.ends_with(".json")
                    && (!name.contains("i686") || cfg!(target_arch = "x86"))
            })
            .collect();
        files.sort();
        files.into_iter().next()
    })
}

/// The ICD file of SwiftShader: the one `FENCEPOST_SWIFTSHADER` names, or one in a known place.
pub(crate) fn swiftshader_file() -> Option<PathBuf> {
    if let Some(named) = env::var_os(SWIFTSHADER_VARIABLE) {
        return Some(PathBuf::from(named)).filter(|path| path.is_file());
    }
    SWIFTSHADER_FILES.iter().map(PathBuf::from).find(|path| path.is_file())
}

/// Whether the environment determines which drivers the loader uses.
pub(crate) fn driver_files_given() -> bool {
    DRIVER_VARIABLES.iter().any(|variable| env::var_os(variable).is_some())
}

/// Makes the loader find SwiftShader in addition to its usual drivers, unless the user has chosen
/// the drivers in the environment.
///
/// # Safety
/// This changes the environment: no other thread may be running yet.
pub(crate) unsafe fn expose_swiftshader() {
    if driver_files_given() {
        return;
    }
    if let Some(file) = swiftshader_file() {
        // SAFETY: by this function's contract no other thread reads or writes the environment.
        unsafe { env::set_var("VK_ADD_DRIVER_FILES", file) };
    }
}
