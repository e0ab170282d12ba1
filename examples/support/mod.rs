//! Shared by the examples and the tests on real drivers: a headless Vulkan device.
//!
//! An example declares `mod support;`. The test target includes this file by its path.
#![allow(dead_code, reason = "each program that includes this room uses a part of it")]
#![allow(unused_imports, reason = "each program that includes this room uses a part of it")]

mod device;
mod drivers;
mod messages;

pub(crate) use device::{FamilyQueue, Gpu, GpuRequest, OpenError, Validation};
pub(crate) use drivers::{INSTALL, driver_files_given, lavapipe_file, swiftshader_file};
pub(crate) use messages::{Message, Messages};
