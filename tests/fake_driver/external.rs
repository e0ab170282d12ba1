//! Memory shared by file descriptors: declared on both sides, exported as it was created, imported
//! as it is.

use std::os::fd::{FromRawFd, OwnedFd};

use ash::{khr, vk};
use fencepost::fake::Violation;

use crate::support::{Gpu, object};

const OPAQUE: vk::ExternalMemoryHandleTypeFlags = vk::ExternalMemoryHandleTypeFlags::OPAQUE_FD;

fn exportable(gpu: &Gpu, size: u64) -> vk::DeviceMemory {
    let mut export = vk::ExportMemoryAllocateInfo::default().handle_types(OPAQUE);
    let info = vk::MemoryAllocateInfo::default().allocation_size(size).push_next(&mut export);
    unsafe { gpu.device.allocate_memory(&info, None) }.unwrap()
}

fn shared_buffer(gpu: &Gpu, size: u64) -> vk::Buffer {
    let mut external = vk::ExternalMemoryBufferCreateInfo::default().handle_types(OPAQUE);
    let info = vk::BufferCreateInfo::default().size(size).push_next(&mut external);
    unsafe { gpu.device.create_buffer(&info, None) }.unwrap()
}

fn export(gpu: &Gpu, memory: vk::DeviceMemory) -> Result<i32, vk::Result> {
    let extension = khr::external_memory_fd::Device::new(gpu.fake.instance(), &gpu.device);
    let info = vk::MemoryGetFdInfoKHR::default().memory(memory).handle_type(OPAQUE);
    unsafe { extension.get_memory_fd(&info) }
}

fn import(gpu: &Gpu, fd: i32, size: u64) -> Result<vk::DeviceMemory, vk::Result> {
    let mut import = vk::ImportMemoryFdInfoKHR::default().handle_type(OPAQUE).fd(fd);
    let info = vk::MemoryAllocateInfo::default().allocation_size(size).push_next(&mut import);
    unsafe { gpu.device.allocate_memory(&info, None) }
}

#[test]
fn a_resource_on_shared_memory_is_declared_so() {
    let gpu = Gpu::new();
    let memory = exportable(&gpu, 4096);
    unsafe { gpu.device.bind_buffer_memory(shared_buffer(&gpu, 256), memory, 0) }.unwrap();
    gpu.kept();
    let plain = gpu.buffer_at(256, memory, 1024);
    let (resource, memory) = (object(plain), object(memory));
    gpu.broke(&[Violation::BindNotExternal { resource, memory }]);
}

#[test]
fn only_what_was_made_for_it_is_exported() {
    let gpu = Gpu::new();
    let fd = export(&gpu, exportable(&gpu, 4096)).unwrap();
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    gpu.kept();
    let memory = gpu.memory(4096);
    assert!(export(&gpu, memory).is_err());
    gpu.broke(&[Violation::NotExportable { memory: object(memory) }]);
}

#[test]
fn what_comes_in_is_as_large_as_what_went_out() {
    let gpu = Gpu::new();
    let memory = exportable(&gpu, 4096);
    import(&gpu, export(&gpu, memory).unwrap(), 4096).unwrap();
    gpu.kept();
    let fd = export(&gpu, memory).unwrap();
    assert!(import(&gpu, fd, 8192).is_err());
    // A refused import leaves the descriptor with its owner.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
    gpu.broke(&[Violation::ImportMismatch { size: 8192, memory_type: 0 }]);
}
