//! A scenario, and the environment in which it runs.

use std::env;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use ash::vk;

use crate::support::{Gpu, GpuRequest, Validation};

/// One fact about the allocator, which is shown on a driver.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// The fact.
    pub(crate) name: &'static str,
    /// Whether it also has a deep variant, which runs with `--ignored`.
    pub(crate) deep: bool,
    /// What the validation layer checks during the scenario.
    pub(crate) validation: Option<Validation>,
    /// The Vulkan version that the application uses.
    pub(crate) api_version: u32,
    /// Panics if the fact does not hold.
    pub(crate) run: fn(&Room<'_>),
}

impl Scenario {
    /// A scenario on Vulkan 1.3, without validation and without a deep variant.
    pub(crate) const fn new(name: &'static str, run: fn(&Room<'_>)) -> Self {
        Self { name, deep: false, validation: None, api_version: vk::API_VERSION_1_3, run }
    }

    pub(crate) const fn with_deep(self) -> Self {
        Self { deep: true, ..self }
    }

    pub(crate) const fn validation(self, validation: Validation) -> Self {
        Self { validation: Some(validation), ..self }
    }

    pub(crate) const fn api_version(self, api_version: u32) -> Self {
        Self { api_version, ..self }
    }
}

/// The environment of a running scenario: one driver.
pub(crate) struct Room<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) driver: &'a str,
    /// Whether this is the deep variant.
    pub(crate) deep: bool,
}

/// The parent shows lines that begin with this.
pub(super) const NOTE: &str = "shown: ";
/// Precedes the name of the device.
pub(super) const DEVICE: &str = "device: ";
/// The last line of a child that was successful.
pub(super) const PASSED: &str = "scenario passed";

impl Room<'_> {
    /// Opens the device of the driver as the scenario requires.
    pub(crate) fn open(&self) -> Arc<Gpu> {
        self.open_as(self.scenario.api_version)
    }

    /// The same in another Vulkan version.
    pub(crate) fn open_as(&self, api_version: u32) -> Arc<Gpu> {
        let gpu = Gpu::open(&GpuRequest {
            driver: Some(self.driver),
            validation: self.scenario.validation,
            api_version,
        })
        .unwrap_or_else(|error| panic!("{error}"));
        println!("{DEVICE}{}", gpu.driver());
        gpu
    }

    /// Writes a line that the parent shows beside the result.
    pub(crate) fn note(&self, words: impl std::fmt::Display) {
        println!("{NOTE}{words}");
    }

    /// The fixed seeds and a new one, which is noted. With `FENCEPOST_SEED` only that one.
    pub(crate) fn seeds(&self) -> Vec<u64> {
        if let Ok(text) = env::var("FENCEPOST_SEED") {
            let digits = text.strip_prefix("0x").unwrap_or(&text);
            return vec![u64::from_str_radix(digits, 16).expect("FENCEPOST_SEED is hexadecimal")];
        }
        let fresh = RandomState::new().build_hasher().finish();
        self.note(format_args!("fresh seed FENCEPOST_SEED={fresh:#018x}"));
        vec![0x5EED_0001, 0x5EED_0002, fresh]
    }

    /// `usual`, or `deep` in the deep variant.
    pub(crate) fn times(&self, usual: usize, deep: usize) -> usize {
        if self.deep { deep } else { usual }
    }
}
