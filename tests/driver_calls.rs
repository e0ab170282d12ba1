//! No lock is held across a driver call: while one thread is in the driver, another allocates and
//! frees memory of the same type. (VMA calls the driver under the lock of its block vector.)

mod support;

use std::{
    ffi::{CStr, c_char, c_void},
    sync::{Condvar, Mutex, OnceLock, mpsc},
    time::Duration,
};

use fencepost::{AllocationDesc, Allocator, BufferDesc, ResourceKind, fake::FakeDriver, vk};
use support::*;

/// A thread that enters the driver by the command of this name waits there.
static GATE: Mutex<Gate> = Mutex::new(Gate { closed: "", waiting: false });
static MOVED: Condvar = Condvar::new();

struct Gate {
    closed: &'static str,
    waiting: bool,
}

fn pass(command: &str) {
    let mut gate = GATE.lock().unwrap();
    while gate.closed == command {
        gate.waiting = true;
        MOVED.notify_all();
        gate = MOVED.wait(gate).unwrap();
    }
}

fn close(command: &'static str) {
    *GATE.lock().unwrap() = Gate { closed: command, waiting: false };
}

/// Opens the gate however the scope is left, so that a failure does not hang.
struct Opens;

impl Drop for Opens {
    fn drop(&mut self) {
        GATE.lock().unwrap().closed = "";
        MOVED.notify_all();
    }
}

/// Whether somebody came to the closed gate in good time.
fn is_entered() -> bool {
    let gate = GATE.lock().unwrap();
    let (gate, _) = MOVED.wait_timeout_while(gate, PATIENCE, |gate| !gate.waiting).unwrap();
    gate.waiting
}

const PATIENCE: Duration = Duration::from_secs(20);

/// The driver's own commands, each behind the gate.
macro_rules! gated {
    ($($name:ident: $command:literal, $type:ident ($($argument:ident: $of:ty),*) -> $result:ty;)*) => {
        mod real {
            use super::{OnceLock, vk};
            $(#[allow(non_upper_case_globals)]
            pub static $name: OnceLock<vk::$type> = OnceLock::new();)*
        }
        $(unsafe extern "system" fn $name($($argument: $of),*) -> $result {
            pass($command);
            let real = real::$name.get().expect("loaded");
            // SAFETY: the caller's arguments, as they came.
            unsafe { real($($argument),*) }
        })*
        /// The gated command of a name, and where its real one is kept.
        fn gated(command: &str, found: vk::PFN_vkVoidFunction) -> vk::PFN_vkVoidFunction {
            match command {
                $($command => {
                    // SAFETY: the command of this name has this type.
                    let found = unsafe { std::mem::transmute::<vk::PFN_vkVoidFunction, Option<vk::$type>>(found) };
                    real::$name.get_or_init(|| found.expect("the fake has it"));
                    let gated: vk::$type = $name;
                    // SAFETY: a function pointer, to be called as its own type again.
                    unsafe { std::mem::transmute::<vk::$type, vk::PFN_vkVoidFunction>(gated) }
                })*
                _ => found,
            }
        }
    };
}

type Callbacks<'a> = vk::AllocationCallbacks<'a>;

gated! {
    allocate: "vkAllocateMemory", PFN_vkAllocateMemory(device: vk::Device, info: *const vk::MemoryAllocateInfo<'_>, with: *const Callbacks<'_>, memory: *mut vk::DeviceMemory) -> vk::Result;
    free: "vkFreeMemory", PFN_vkFreeMemory(device: vk::Device, memory: vk::DeviceMemory, with: *const Callbacks<'_>) -> ();
    map: "vkMapMemory", PFN_vkMapMemory(device: vk::Device, memory: vk::DeviceMemory, offset: u64, size: u64, flags: vk::MemoryMapFlags, to: *mut *mut c_void) -> vk::Result;
    create: "vkCreateBuffer", PFN_vkCreateBuffer(device: vk::Device, info: *const vk::BufferCreateInfo<'_>, with: *const Callbacks<'_>, buffer: *mut vk::Buffer) -> vk::Result;
    bind: "vkBindBufferMemory", PFN_vkBindBufferMemory(device: vk::Device, buffer: vk::Buffer, memory: vk::DeviceMemory, offset: u64) -> vk::Result;
    destroy: "vkDestroyBuffer", PFN_vkDestroyBuffer(device: vk::Device, buffer: vk::Buffer, with: *const Callbacks<'_>) -> ();
    counter: "vkGetSemaphoreCounterValue", PFN_vkGetSemaphoreCounterValue(device: vk::Device, semaphore: vk::Semaphore, value: *mut u64) -> vk::Result;
}

/// The fake's device with the gated commands in its table.
fn gated_device(fake: &FakeDriver) -> ash::Device {
    let load = fake.instance().fp_v1_0().get_device_proc_addr;
    let handle = fake.device().handle();
    let find = |name: &CStr| {
        // SAFETY: the fake's own loader, device and a C string.
        let found = unsafe { load(handle, name.as_ptr().cast::<c_char>()) };
        let gated = gated(name.to_str().expect("a command"), found);
        gated.map_or(std::ptr::null(), |command| command as *const c_void)
    };
    // SAFETY: the commands are those of this device.
    unsafe { ash::Device::load_with(find, handle) }
}

const TRANSFER: vk::BufferUsageFlags = vk::BufferUsageFlags::TRANSFER_SRC;

/// Takes memory of the type that uploads take, and gives it back.
fn small_step(allocator: &Allocator) {
    let needs = vk::MemoryRequirements { size: 1000, alignment: 64, memory_type_bits: !0 };
    let memory = allocator.allocate(&needs, ResourceKind::Linear, &AllocationDesc::upload());
    drop(memory.unwrap());
}

type Step = fn(&Allocator);

#[test]
fn while_one_thread_is_in_the_driver_another_goes_on() {
    let fake = fake();
    let device = gated_device(&fake);
    let desc = fencepost::AllocatorDesc::new(fake.instance(), fake.physical_device(), &device)
        .api_version(vk::API_VERSION_1_2)
        .features(fencepost::DeviceFeatures::TIMELINE_SEMAPHORE);
    // SAFETY: the fake outlives the allocator, and has the version and the feature.
    let allocator = unsafe { Allocator::new(&desc) }.unwrap();
    let frames = allocator.timeline(fake.queue(0)).unwrap();
    let anchor =
        allocator.create_buffer(&BufferDesc::new(1000, TRANSFER), &AllocationDesc::upload());
    // A block too large to stay lies empty, for `trim` to give back.
    let large: Step = |allocator| {
        let needs = vk::MemoryRequirements { size: 70 << 20, alignment: 64, memory_type_bits: !0 };
        let upload = AllocationDesc::upload();
        drop(allocator.allocate(&needs, ResourceKind::Linear, &upload).unwrap());
    };
    let dedicated: Step = |allocator| {
        let needs = vk::MemoryRequirements { size: 1 << 20, alignment: 64, memory_type_bits: !0 };
        let upload = AllocationDesc::upload().dedicated(true);
        drop(allocator.allocate(&needs, ResourceKind::Linear, &upload).unwrap());
    };
    let buffer: Step = |allocator| {
        let desc = BufferDesc::new(1000, TRANSFER);
        drop(allocator.create_buffer(&desc, &AllocationDesc::upload()).unwrap());
    };
    let trim: Step = |allocator| assert!(allocator.trim() > 0);
    let collect: Step = |allocator| assert_eq!(allocator.collect().allocations, 0);
    let steps: [(&str, Step); 9] = [
        ("vkAllocateMemory", large),
        ("vkFreeMemory", trim),
        ("vkAllocateMemory", dedicated),
        ("vkMapMemory", dedicated),
        ("vkFreeMemory", dedicated),
        ("vkCreateBuffer", buffer),
        ("vkBindBufferMemory", buffer),
        ("vkDestroyBuffer", buffer),
        ("vkGetSemaphoreCounterValue", collect),
    ];
    for (command, step) in steps {
        if command == "vkGetSemaphoreCounterValue" {
            submit_nothing(frames.begin().unwrap()).unwrap();
        }
        close(command);
        std::thread::scope(|scope| {
            let opens = Opens;
            let in_the_driver = scope.spawn(|| step(&allocator));
            assert!(is_entered(), "{command} was not called");
            let (sender, done) = mpsc::channel();
            let allocator = &allocator;
            scope.spawn(move || {
                small_step(allocator);
                allocator.statistics();
                sender.send(())
            });
            done.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{command} holds a lock"));
            // The control: the first is in the driver all the while.
            assert!(!in_the_driver.is_finished(), "{command}");
            drop(opens);
        });
    }
    drop(anchor);
    fake.run();
    allocator.check().unwrap();
}
