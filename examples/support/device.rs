//! A headless Vulkan device, chosen by its driver's name.

use std::ffi::{CStr, CString};
use std::fmt;
use std::sync::Arc;

use ash::{ext, vk};
use fencepost::DeviceFeatures;

use super::drivers::{INSTALL, expose_swiftshader};
use super::messages::{Messages, messenger_info};

const VALIDATION_LAYER: &CStr = c"VK_LAYER_KHRONOS_validation";

/// How much the validation layer checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Validation {
    /// The rules of the specification.
    Core,
    /// The rules and, in command buffers, hazards between accesses to the same memory.
    ///
    /// Hazards between submits need this in the environment before the process starts:
    /// `VK_LAYER_ENABLES=VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION:VALIDATION_CHECK_ENABLE_SYNCHRONIZATION_VALIDATION_QUEUE_SUBMIT`
    Synchronization,
}

/// What device to open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GpuRequest<'a> {
    /// A part of the name of the driver or the device, in any case; `lavapipe` and `swiftshader`
    /// are also recognised. `None` selects the most capable device: discrete, integrated, virtual,
    /// CPU.
    pub(crate) driver: Option<&'a str>,
    /// Whether the validation layer is enabled.
    pub(crate) validation: Option<Validation>,
    /// The highest Vulkan version to use. Below 1.2 the device has no timeline semaphores.
    pub(crate) api_version: u32,
}

impl Default for GpuRequest<'_> {
    fn default() -> Self {
        Self { driver: None, validation: None, api_version: vk::API_VERSION_1_3 }
    }
}

/// Why no device was opened, in one sentence.
#[derive(Clone)]
pub(crate) struct OpenError(String);

impl OpenError {
    fn with_install_line(sentence: impl fmt::Display) -> Self {
        Self(format!("{sentence}; on Debian or Ubuntu the software drivers come by: {INSTALL}"))
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Also the sentence, so that it reads well when `main` returns the error.
impl fmt::Debug for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}

/// A queue and its family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FamilyQueue {
    pub(crate) queue: vk::Queue,
    pub(crate) family: u32,
}

/// A headless device and everything on which it depends. Dropping it waits for the device and
/// destroys device, messenger and instance, so an `Arc<Gpu>` is what an allocator should keep
/// alive.
pub(crate) struct Gpu {
    pub(crate) device: ash::Device,
    pub(crate) physical_device: vk::PhysicalDevice,
    pub(crate) instance: ash::Instance,
    /// The loaded Vulkan library. It is dropped last.
    pub(crate) entry: ash::Entry,
    /// The queue for graphics and compute (only compute if the device cannot draw).
    pub(crate) main: FamilyQueue,
    /// A queue of a family for transfers, if there is one.
    pub(crate) transfer: Option<FamilyQueue>,
    pub(crate) properties: vk::PhysicalDeviceProperties,
    pub(crate) memory: vk::PhysicalDeviceMemoryProperties,
    /// The version that may be used: the lower of the requested one and that of the device.
    pub(crate) api_version: u32,
    /// Whether timeline semaphores are enabled; the same holds for the fields below.
    pub(crate) timeline_semaphore: bool,
    pub(crate) synchronization2: bool,
    pub(crate) buffer_device_address: bool,
    pub(crate) dynamic_rendering: bool,
    driver: String,
    messenger: Option<(ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT)>,
    messages: Arc<Messages>,
}

impl Gpu {
    /// Opens a device. Call this before the program starts a thread: if the environment names no
    /// driver, it adds SwiftShader to those that the loader finds.
    pub(crate) fn open(request: &GpuRequest<'_>) -> Result<Arc<Self>, OpenError> {
        // SAFETY: the caller has started no thread yet, as asked above.
        unsafe { expose_swiftshader() };
        // SAFETY: the system's Vulkan loader is trusted to behave when it is loaded.
        let entry = unsafe { ash::Entry::load() }.map_err(|error| {
            OpenError::with_install_line(format_args!("the Vulkan loader is missing ({error})"))
        })?;
        let messages = Arc::<Messages>::default();
        let (instance, messenger) = create_instance(&entry, request, &messages)?;
        let opened = open_device(&instance, request);
        let parts = match opened {
            Ok(parts) => parts,
            Err(error) => {
                // SAFETY: nothing was created from the instance but the messenger, which goes first.
                unsafe { destroy_instance(&instance, messenger.as_ref()) };
                return Err(error);
            }
        };
        Ok(Arc::new(Self {
            main: parts.queue(parts.families.main),
            transfer: parts.families.transfer.map(|family| parts.queue(family)),
            // SAFETY: the device is one of the instance's.
            memory: unsafe { instance.get_physical_device_memory_properties(parts.chosen.device) },
            device: parts.device,
            physical_device: parts.chosen.device,
            instance,
            entry,
            properties: parts.chosen.properties,
            api_version: parts.chosen.api_version,
            timeline_semaphore: parts.features.timeline_semaphore,
            synchronization2: parts.features.synchronization2,
            buffer_device_address: parts.features.buffer_device_address,
            dynamic_rendering: parts.features.dynamic_rendering,
            driver: parts.chosen.name,
            messenger,
            messages,
        }))
    }

    /// The device's name, the driver's name and its version.
    pub(crate) fn driver(&self) -> &str {
        &self.driver
    }

    /// The enabled features, as the allocator names them.
    pub(crate) fn features(&self) -> DeviceFeatures {
        [
            (self.timeline_semaphore, DeviceFeatures::TIMELINE_SEMAPHORE),
            (self.synchronization2, DeviceFeatures::SYNCHRONIZATION2),
            (self.buffer_device_address, DeviceFeatures::BUFFER_DEVICE_ADDRESS),
        ]
        .into_iter()
        .filter_map(|(enabled, feature)| enabled.then_some(feature))
        .collect()
    }

    /// Creates a timeline semaphore with value 0. The caller destroys it.
    pub(crate) fn new_timeline_semaphore(&self) -> Result<vk::Semaphore, vk::Result> {
        let mut kind =
            vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
        let info = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        // SAFETY: the device is alive; without the feature the driver answers with an error.
        unsafe { self.device.create_semaphore(&info, None) }
    }

    /// The list that receives the messages of the validation layer.
    pub(crate) fn messages(&self) -> Arc<Messages> {
        Arc::clone(&self.messages)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY:
        // - `self` owns device and instance; whoever used them kept it alive and is gone.
        // - A lost device counts as idle: the result does not matter.
        unsafe {
            let _ = self.device.device_wait_idle();
            self.device.destroy_device(None);
            destroy_instance(&self.instance, self.messenger.as_ref());
        }
    }
}

/// # Safety
/// Everything else made from the instance is destroyed, and it is not used again.
unsafe fn destroy_instance(
    instance: &ash::Instance,
    messenger: Option<&(ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT)>,
) {
    // SAFETY: by this function's contract, and the messenger goes before its instance.
    unsafe {
        if let Some((debug_utils, messenger)) = messenger {
            debug_utils.destroy_debug_utils_messenger(*messenger, None);
        }
        instance.destroy_instance(None);
    }
}

type Messenger = (ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT);

/// Creates an instance and, with validation, the messenger that writes to `messages`.
fn create_instance(
    entry: &ash::Entry,
    request: &GpuRequest<'_>,
    messages: &Messages,
) -> Result<(ash::Instance, Option<Messenger>), OpenError> {
    let application = vk::ApplicationInfo::default().api_version(request.api_version);
    let mut messenger_info = messenger_info(messages);
    let enables: &[vk::ValidationFeatureEnableEXT] = match request.validation {
        Some(Validation::Synchronization) => {
            &[vk::ValidationFeatureEnableEXT::SYNCHRONIZATION_VALIDATION]
        }
        Some(Validation::Core) | None => &[],
    };
    let mut validation_features =
        vk::ValidationFeaturesEXT::default().enabled_validation_features(enables);
    let layers = [VALIDATION_LAYER.as_ptr()];
    let extensions = [ext::debug_utils::NAME.as_ptr(), ext::validation_features::NAME.as_ptr()];
    let mut info = vk::InstanceCreateInfo::default().application_info(&application);
    if request.validation.is_some() {
        info = info
            .enabled_layer_names(&layers)
            .enabled_extension_names(&extensions)
            .push_next(&mut messenger_info)
            .push_next(&mut validation_features);
    }
    // SAFETY: all that `info` points to lives through the call; `messages` outlives the instance.
    let instance = unsafe { entry.create_instance(&info, None) }.map_err(|error| match error {
        vk::Result::ERROR_LAYER_NOT_PRESENT | vk::Result::ERROR_EXTENSION_NOT_PRESENT => {
            OpenError::with_install_line("the Vulkan validation layer is missing")
        }
        vk::Result::ERROR_INCOMPATIBLE_DRIVER => OpenError::with_install_line(format_args!(
            "no Vulkan driver is installed for {} ({error})",
            request.driver.unwrap_or("any device")
        )),
        _ => OpenError(format!("vkCreateInstance failed: {error}")),
    })?;
    if request.validation.is_none() {
        return Ok((instance, None));
    }
    let debug_utils = ext::debug_utils::Instance::new(entry, &instance);
    let info = self::messenger_info(messages);
    // SAFETY: the extension is enabled; `messages` outlives the messenger.
    match unsafe { debug_utils.create_debug_utils_messenger(&info, None) } {
        Ok(messenger) => Ok((instance, Some((debug_utils, messenger)))),
        Err(error) => {
            // SAFETY: nothing was created from the instance.
            unsafe { instance.destroy_instance(None) };
            Err(OpenError(format!("vkCreateDebugUtilsMessengerEXT failed: {error}")))
        }
    }
}

/// A physical device that matches the request.
struct Chosen {
    device: vk::PhysicalDevice,
    properties: vk::PhysicalDeviceProperties,
    api_version: u32,
    name: String,
}

struct Families {
    main: u32,
    transfer: Option<u32>,
}

struct Features {
    timeline_semaphore: bool,
    synchronization2: bool,
    buffer_device_address: bool,
    dynamic_rendering: bool,
}

struct DeviceParts {
    chosen: Chosen,
    families: Families,
    features: Features,
    device: ash::Device,
}

impl DeviceParts {
    fn queue(&self, family: u32) -> FamilyQueue {
        // SAFETY: the device was created with one queue of each of its two families.
        FamilyQueue { queue: unsafe { self.device.get_device_queue(family, 0) }, family }
    }
}

fn open_device(
    instance: &ash::Instance,
    request: &GpuRequest<'_>,
) -> Result<DeviceParts, OpenError> {
    let chosen = choose(instance, request)?;
    let families = choose_families(instance, chosen.device)
        .ok_or_else(|| OpenError(format!("{} has no queue for compute", chosen.name)))?;
    let (device, features) = create_device(instance, &chosen, &families)
        .map_err(|error| OpenError(format!("vkCreateDevice failed on {}: {error}", chosen.name)))?;
    Ok(DeviceParts { chosen, families, features, device })
}

/// The most capable of the devices that match the request.
fn choose(instance: &ash::Instance, request: &GpuRequest<'_>) -> Result<Chosen, OpenError> {
    // SAFETY: the instance is alive.
    let devices = unsafe { instance.enumerate_physical_devices() }
        .map_err(|error| OpenError(format!("vkEnumeratePhysicalDevices failed: {error}")))?;
    let all: Vec<Chosen> =
        devices.into_iter().map(|device| describe(instance, device, request)).collect();
    let names: Vec<String> = all.iter().map(|one| one.name.clone()).collect();
    all.into_iter()
        .filter(|one| request.driver.is_none_or(|wanted| matches_driver(&one.name, wanted)))
        .min_by_key(|one| match one.properties.device_type {
            vk::PhysicalDeviceType::DISCRETE_GPU => 0,
            vk::PhysicalDeviceType::INTEGRATED_GPU => 1,
            vk::PhysicalDeviceType::VIRTUAL_GPU => 2,
            // Of the two software drivers, the one that commits memory only when it is touched.
            _ if matches_driver(&one.name, "lavapipe") => 3,
            _ => 4,
        })
        .ok_or_else(|| {
            OpenError::with_install_line(format_args!(
                "no Vulkan device is called {} (there are: {})",
                request.driver.unwrap_or("anything"),
                if names.is_empty() { "none".into() } else { names.join(", ") }
            ))
        })
}

/// Whether `wanted` denotes a device with this full name.
fn matches_driver(name: &str, wanted: &str) -> bool {
    let wanted = wanted.to_ascii_lowercase();
    // Mesa calls the driver lavapipe and its device llvmpipe.
    let wanted = if wanted == "lavapipe" { "llvmpipe" } else { &wanted };
    name.to_ascii_lowercase().contains(wanted)
}

fn describe(
    instance: &ash::Instance,
    device: vk::PhysicalDevice,
    request: &GpuRequest<'_>,
) -> Chosen {
    // SAFETY: the device is one of the instance's.
    let properties = unsafe { instance.get_physical_device_properties(device) };
    let api_version = request.api_version.min(properties.api_version);
    let mut name = text(properties.device_name_as_c_str());
    if api_version >= vk::API_VERSION_1_2 {
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut chain = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: instance and device know Vulkan 1.2, whose structure hangs in the chain.
        unsafe { instance.get_physical_device_properties2(device, &mut chain) };
        let (driver, version) =
            (text(driver.driver_name_as_c_str()), text(driver.driver_info_as_c_str()));
        name = format!("{name} · {} {}", driver.trim(), version.trim()).trim_end().to_owned();
    }
    Chosen { device, properties, api_version, name }
}

fn text<E>(text: Result<&CStr, E>) -> String {
    text.map(|text| CString::from(text).to_string_lossy().into_owned()).unwrap_or_default()
}

fn choose_families(instance: &ash::Instance, device: vk::PhysicalDevice) -> Option<Families> {
    // SAFETY: the device is one of the instance's.
    let families = unsafe { instance.get_physical_device_queue_family_properties(device) };
    let find = |test: &dyn Fn(vk::QueueFlags) -> bool| {
        (0u32..)
            .zip(&families)
            .find(|(_, family)| family.queue_count > 0 && test(family.queue_flags))
            .map(|(index, _)| index)
    };
    let main = find(&|flags| flags.contains(vk::QueueFlags::GRAPHICS | vk::QueueFlags::COMPUTE))
        .or_else(|| find(&|flags| flags.contains(vk::QueueFlags::COMPUTE)))?;
    let transfer = find(&|flags| {
        flags.contains(vk::QueueFlags::TRANSFER)
            && !flags.intersects(vk::QueueFlags::GRAPHICS | vk::QueueFlags::COMPUTE)
    });
    Some(Families { main, transfer: transfer.filter(|&family| family != main) })
}

/// Creates a device with one queue of each family, and those of the features that are supported.
fn create_device(
    instance: &ash::Instance,
    chosen: &Chosen,
    families: &Families,
) -> Result<(ash::Device, Features), vk::Result> {
    let mut have12 = vk::PhysicalDeviceVulkan12Features::default();
    let mut have13 = vk::PhysicalDeviceVulkan13Features::default();
    if chosen.api_version >= vk::API_VERSION_1_2 {
        let mut have = vk::PhysicalDeviceFeatures2::default().push_next(&mut have12);
        if chosen.api_version >= vk::API_VERSION_1_3 {
            have = have.push_next(&mut have13);
        }
        // SAFETY: only structures of versions that the device knows hang in the chain.
        unsafe { instance.get_physical_device_features2(chosen.device, &mut have) };
    }
    let features = Features {
        timeline_semaphore: have12.timeline_semaphore == vk::TRUE,
        synchronization2: have13.synchronization2 == vk::TRUE,
        buffer_device_address: have12.buffer_device_address == vk::TRUE,
        dynamic_rendering: have13.dynamic_rendering == vk::TRUE,
    };
    let mut wanted12 = vk::PhysicalDeviceVulkan12Features::default()
        .timeline_semaphore(features.timeline_semaphore)
        .buffer_device_address(features.buffer_device_address);
    let mut wanted13 = vk::PhysicalDeviceVulkan13Features::default()
        .synchronization2(features.synchronization2)
        .dynamic_rendering(features.dynamic_rendering);
    let priorities = [1.0];
    let queues: Vec<_> = std::iter::once(families.main)
        .chain(families.transfer)
        .map(|family| {
            vk::DeviceQueueCreateInfo::default()
                .queue_family_index(family)
                .queue_priorities(&priorities)
        })
        .collect();
    let mut info = vk::DeviceCreateInfo::default().queue_create_infos(&queues);
    if chosen.api_version >= vk::API_VERSION_1_2 {
        info = info.push_next(&mut wanted12);
    }
    if chosen.api_version >= vk::API_VERSION_1_3 {
        info = info.push_next(&mut wanted13);
    }
    // SAFETY: all that `info` points to lives through the call, and only features that the device
    // has are asked for.
    let device = unsafe { instance.create_device(chosen.device, &info, None) }?;
    Ok((device, features))
}
