//! Memory that is shared with others: what a descriptor of the fake refers to, and the rules for
//! it.
//!
//! A descriptor is an unnamed file that contains a description of what was exported. The bytes are
//! not shared: the fake validates the calls, and tests on real drivers show that the data is
//! shared.

use ash::vk;

use super::call::Call;
use super::object::Object;
use super::profile::Profile;
use super::resource::ResourceId;
use super::state::State;
use super::violation::Violation;

/// How an allocation is shared with others.
#[derive(Clone, Copy, Default)]
pub(super) enum Sharing {
    #[default]
    None,
    Export(vk::ExternalMemoryHandleTypeFlags),
    Fd {
        kind: vk::ExternalMemoryHandleTypeFlags,
        fd: i32,
    },
    Host {
        address: *mut u8,
    },
}

impl Sharing {
    /// The handle types with which the memory was created.
    pub(super) fn kinds(self) -> vk::ExternalMemoryHandleTypeFlags {
        match self {
            Sharing::None => vk::ExternalMemoryHandleTypeFlags::empty(),
            Sharing::Export(kinds) => kinds,
            Sharing::Fd { kind, .. } => kind,
            Sharing::Host { .. } => vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT,
        }
    }
}

impl Sharing {
    /// The handle types as which it can be exported.
    pub(super) fn exported(self) -> vk::ExternalMemoryHandleTypeFlags {
        match self {
            Sharing::Export(kinds) => kinds,
            _ => vk::ExternalMemoryHandleTypeFlags::empty(),
        }
    }
}

/// The alignment of imported host memory, `minImportedHostPointerAlignment`.
pub(super) const HOST_ALIGNMENT: u64 = 4096;

const INVALID: vk::Result = vk::Result::ERROR_INVALID_EXTERNAL_HANDLE;

impl Profile {
    /// How memory can be shared as `kind`.
    pub(super) fn external(
        &self,
        kind: vk::ExternalMemoryHandleTypeFlags,
    ) -> vk::ExternalMemoryProperties {
        use vk::ExternalMemoryFeatureFlags as Feature;
        if kind.is_empty() || !self.external_memory.contains(kind) {
            return vk::ExternalMemoryProperties::default();
        }
        let mut features = Feature::IMPORTABLE;
        if kind != vk::ExternalMemoryHandleTypeFlags::HOST_ALLOCATION_EXT {
            features |= Feature::EXPORTABLE;
        }
        if self.external_dedicated_only {
            features |= Feature::DEDICATED_ONLY;
        }
        vk::ExternalMemoryProperties {
            external_memory_features: features,
            export_from_imported_handle_types: vk::ExternalMemoryHandleTypeFlags::empty(),
            compatible_handle_types: kind,
        }
    }
}

impl State {
    /// Notes the handle types with which a resource was declared.
    pub(super) fn declare(&mut self, id: ResourceId, kinds: vk::ExternalMemoryHandleTypeFlags) {
        if let Some(resource) = self.resource_mut(id) {
            resource.external = kinds;
        }
    }

    /// Checks the rules for imports, or refuses as the driver would.
    pub(super) fn check_sharing(
        &mut self,
        sharing: Sharing,
        size: u64,
        memory_type: u32,
    ) -> Result<(), vk::Result> {
        let kinds = sharing.kinds();
        if !self.profile.external_memory.contains(kinds) {
            self.report(Violation::NotEnabled {
                call: Call::AllocateMemory,
                feature: "external memory of this kind",
            });
            return Err(INVALID);
        }
        match sharing {
            Sharing::Fd { kind, fd } => {
                let found = payload(fd).filter(|found| found.kind == kind).ok_or(INVALID)?;
                let opaque = kind == vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;
                let fits = found.size == size && found.memory_type == memory_type;
                if (opaque && !fits) || size > found.size {
                    self.report(Violation::ImportMismatch { size, memory_type });
                    return Err(INVALID);
                }
                Ok(())
            }
            Sharing::Host { address } => {
                if address as u64 % HOST_ALIGNMENT != 0 || size % HOST_ALIGNMENT != 0 {
                    self.report(Violation::ImportMismatch { size, memory_type });
                    return Err(INVALID);
                }
                Ok(())
            }
            Sharing::None | Sharing::Export(_) => Ok(()),
        }
    }

    /// Creates a descriptor of a memory.
    pub(super) fn export(
        &mut self,
        memory: vk::DeviceMemory,
        kind: vk::ExternalMemoryHandleTypeFlags,
    ) -> Result<i32, vk::Result> {
        let found = self.find(Call::GetMemoryFd, memory).ok_or(INVALID)?;
        let exported = found.shared_as[1].contains(kind);
        let what = Payload { kind, size: found.size, memory_type: found.memory_type };
        if !exported {
            self.report(Violation::NotExportable { memory: Object::of(memory) });
            return Err(INVALID);
        }
        descriptor(&what).ok_or(vk::Result::ERROR_TOO_MANY_OBJECTS)
    }
}

/// What a descriptor refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Payload {
    kind: vk::ExternalMemoryHandleTypeFlags,
    size: u64,
    pub(super) memory_type: u32,
}

#[cfg(unix)]
pub(super) use descriptors::{Held, descriptor, payload, take};

#[cfg(unix)]
mod descriptors {
    use std::fs::{File, OpenOptions, remove_file};
    use std::io::Write;
    use std::mem::ManuallyDrop;
    use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::{AtomicU64, Ordering};

    use ash::vk;

    use super::Payload;

    /// A descriptor that the fake owns.
    pub(in crate::fake) type Held = OwnedFd;

    const MAGIC: u64 = 0x6665_6e63_6570_6f73;

    /// Creates an unnamed file that contains the payload.
    pub(in crate::fake) fn descriptor(what: &Payload) -> Option<i32> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fencepost-fake-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).ok()?;
        remove_file(&path).ok()?;
        let words = [MAGIC, what.kind.as_raw().into(), what.size, what.memory_type.into()];
        (&file).write_all(bytemuck::cast_slice(&words)).ok()?;
        Some(file.into_raw_fd())
    }

    /// What a descriptor refers to; `None` if it is not from a fake driver.
    pub(in crate::fake) fn payload(fd: i32) -> Option<Payload> {
        if fd < 0 {
            return None;
        }
        // SAFETY:
        // - the caller of the import says that it is an open descriptor, and keeps it open;
        // - it is not closed here.
        let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
        let mut words = [0u64; 4];
        file.read_exact_at(bytemuck::cast_slice_mut(&mut words), 0).ok()?;
        let [MAGIC, kind, size, memory_type] = words else { return None };
        Some(Payload {
            kind: vk::ExternalMemoryHandleTypeFlags::from_raw(kind as u32),
            size,
            memory_type: memory_type as u32,
        })
    }

    /// Takes ownership of a descriptor after a successful import.
    pub(in crate::fake) fn take(fd: i32) -> Held {
        // SAFETY:
        // - an import that succeeds hands the descriptor to the driver, which closes it once.
        unsafe { OwnedFd::from_raw_fd(fd) }
    }
}

#[cfg(not(unix))]
pub(super) type Held = ();

#[cfg(not(unix))]
pub(super) fn descriptor(_what: &Payload) -> Option<i32> {
    None
}

#[cfg(not(unix))]
pub(super) fn payload(_fd: i32) -> Option<Payload> {
    None
}

#[cfg(not(unix))]
pub(super) fn take(_fd: i32) -> Held {}
