//! The recorded topologies: the table agrees with its source, and each makes a usable fake.

use ash::vk;
use fencepost::fake::{FakeDriver, Profile};
use serde_json::Value;

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// Pairs of a number and flags. The flags of two reports are negative: the same 32 bits, signed.
fn pairs(list: &Value) -> Vec<(u64, u32)> {
    let flags = |value: &Value| value.as_i64().expect("flags") as u32;
    list.as_array().unwrap().iter().map(|pair| (number(&pair[0]), flags(&pair[1]))).collect()
}

#[test]
fn the_table_is_the_json_file() {
    let json: Value = serde_json::from_str(include_str!("../data/gpu_topologies.json")).unwrap();
    let wanted: Vec<_> = json["topologies"].as_array().unwrap().iter().collect();
    assert_eq!((wanted.len(), Profile::all().count()), (158, 158));
    for (profile, wanted) in Profile::all().zip(wanted) {
        let name = profile.name();
        assert_eq!(name, wanted["example"].as_str().unwrap());
        assert_eq!(u64::from(profile.reports()), number(&wanted["count"]), "{name}");
        let fake = FakeDriver::new(&profile);
        let (instance, device) = (fake.instance(), fake.physical_device());
        let limits = unsafe { instance.get_physical_device_properties(device) }.limits;
        assert_eq!(limits.buffer_image_granularity, number(&wanted["gran"]), "{name}");
        assert_eq!(limits.non_coherent_atom_size, number(&wanted["atom"]), "{name}");
        let max_count = u64::from(limits.max_memory_allocation_count);
        assert_eq!(max_count, number(&wanted["max_count"]), "{name}");
        let memory = unsafe { instance.get_physical_device_memory_properties(device) };
        let heaps = memory.memory_heaps_as_slice().iter().map(|h| (h.size, h.flags.as_raw()));
        assert_eq!(heaps.collect::<Vec<_>>(), pairs(&wanted["heaps"]), "{name}");
        let types = memory.memory_types_as_slice().iter();
        let types = types.map(|t| (u64::from(t.heap_index), t.property_flags.as_raw()));
        assert_eq!(types.collect::<Vec<_>>(), pairs(&wanted["types"]), "{name}");
    }
    let reports: u32 = Profile::all().map(|profile| profile.reports()).sum();
    assert_eq!(reports, 36_450);
}

#[test]
fn every_topology_is_well_formed_and_reported_as_it_is() {
    for profile in Profile::all() {
        let name = profile.name().to_owned();
        let fake = FakeDriver::new(&profile);
        let (instance, device) = (fake.instance(), fake.physical_device());
        let memory = unsafe { instance.get_physical_device_memory_properties(device) };
        let (heaps, types) = (memory.memory_heaps_as_slice(), memory.memory_types_as_slice());
        assert!(!heaps.is_empty() && heaps.len() <= vk::MAX_MEMORY_HEAPS, "{name}");
        assert!(!types.is_empty() && types.len() <= vk::MAX_MEMORY_TYPES, "{name}");
        for kind in types {
            assert!((kind.heap_index as usize) < heaps.len(), "{name}");
        }
        let coherent =
            vk::MemoryPropertyFlags::HOST_VISIBLE | vk::MemoryPropertyFlags::HOST_COHERENT;
        assert!(types.iter().any(|kind| kind.property_flags.contains(coherent)), "{name}");
        let limits = unsafe { instance.get_physical_device_properties(device) }.limits;
        assert!(limits.buffer_image_granularity.max(1).is_power_of_two(), "{name}");
        assert!(limits.non_coherent_atom_size.max(1).is_power_of_two(), "{name}");
        fake.finish().unwrap();
    }
}

#[test]
fn a_name_finds_its_most_reported_topology() {
    let gpu = Profile::topology("NVIDIA GeForce RTX 4090").unwrap();
    assert_eq!((gpu.name(), gpu.heap_size(0)), ("NVIDIA GeForce RTX 4090", 25_314_721_792));
    let twice = Profile::topology("AMD Radeon(TM) R4 Graphics").unwrap();
    assert_eq!(twice.heap_size(0), 1_879_048_192);
    assert!(Profile::topology("no such device").is_none());
}
