//! The recorded topologies: the table agrees with its source, and each makes a usable fake.

use ash::vk;
use fencepost::fake::{FakeDriver, Profile};
use serde_json::Value;

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[test]
fn the_table_is_the_json_file() {
    let json: Value = serde_json::from_str(include_str!("data/gpu_topologies.json")).unwrap();
    let wanted: Vec<_> = json["topologies"].as_array().unwrap().iter().collect();
    assert_eq!((wanted.len(), Profile::rows().count()), (158, 158));
    let mut reports = 0;
    for (row, wanted) in Profile::rows().zip(wanted) {
        let (name, count, (granularity, atom, max_count), heaps, types) = row;
        assert_eq!(name, wanted["example"].as_str().unwrap());
        assert_eq!(u64::from(count), number(&wanted["count"]));
        assert_eq!(granularity, number(&wanted["gran"]));
        assert_eq!(atom, number(&wanted["atom"]));
        assert_eq!(u64::from(max_count), number(&wanted["max_count"]));
        // Flags of two reports are negative there: the same bits as a signed number.
        let pairs = |list: &Value| -> Vec<(u64, u32)> {
            let pair = |p: &Value| (number(&p[0]), p[1].as_i64().expect("flags") as u32);
            list.as_array().unwrap().iter().map(pair).collect()
        };
        assert_eq!(heaps, pairs(&wanted["heaps"]), "{name}");
        let types: Vec<_> = types.iter().map(|(heap, flags)| (u64::from(*heap), *flags)).collect();
        assert_eq!(types, pairs(&wanted["types"]), "{name}");
        reports += number(&wanted["count"]);
    }
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
