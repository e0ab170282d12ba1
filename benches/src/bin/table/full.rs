//! The tables of device memory.

use fencepost::fake::Profile;
use fencepost_benches::for_each_full_path;
use fencepost_benches::full::lane::lane;
use fencepost_benches::full::reserved::{Captured, Reserved, least, reserved};
use fencepost_benches::full::retire::{Costs, costs, throughput};
use fencepost_benches::full::threads::{Pace, arithmetic, pace};
use fencepost_benches::full::{FullPath, Purpose};
use fencepost_benches::race::{Lane, race};
use fencepost_benches::replay::segments;
use fencepost_benches::stream::Stream;

/// A graphics card of 64 GiB, or one with room for 100,000 textures if that much is live; without a
/// limit on the number of memories. Beyond 64 GiB fencepost's granule grows, which makes it faster,
/// so smaller cards are never measured that way.
fn roomy(peak_bytes: u64, granularity: u64) -> Profile {
    let heap = if 4 * peak_bytes > 1 << 36 { 1 << 42 } else { 1 << 36 };
    let base = Profile::default();
    let flags = ash::vk::MemoryHeapFlags::DEVICE_LOCAL;
    let host = ash::vk::MemoryHeapFlags::empty();
    base.heaps(&[(heap, flags), (heap, host), (1 << 28, flags)])
        .max_allocation_count(u32::MAX)
        .granularity(granularity)
}

/// The names of all allocators.
pub fn names() -> Vec<&'static str> {
    let mut names = Vec::new();
    macro_rules! push {
        ($subject:ty) => {
            names.push(<$subject>::NAME);
        };
    }
    for_each_full_path!(push);
    names
}

fn header(title: &str, note: &str, columns: &[String]) {
    println!(
        "\n### {title}\n{note}\n\n| | {} |\n|---|{}",
        columns.join(" | "),
        "---|".repeat(columns.len())
    );
}

fn names_and(more: &[&str]) -> Vec<String> {
    names().iter().chain(more).map(|&name| name.to_owned()).collect()
}

/// Nanoseconds per pair for all allocators, in turn; two granularities.
pub fn time(rows: &[(String, Stream)], replays: usize, tick: f64) {
    header(
        "Time, full path",
        "ns per pair of allocate and free of device memory, warm, over the fake driver, which is not \
         called then. gpu-alloc and gpu-allocator in a mutex, VMA with its own. The last columns: our \
         handles / VMA, / gpu-alloc.",
        &names_and(&["handles / VMA", "handles / gpu-alloc"]),
    );
    for (name, stream) in rows {
        for granularity in [1, 1024] {
            let profile = roomy(stream.peak_bytes, granularity);
            let (mut able, mut lanes): (Vec<&str>, Vec<Box<dyn Lane + '_>>) = Default::default();
            macro_rules! push {
                ($subject:ty) => {
                    if let Some(lane) = lane::<$subject>(stream, &profile) {
                        able.push(<$subject>::NAME);
                        lanes.push(lane);
                    }
                };
            }
            for_each_full_path!(push);
            let measured = stream.steps.len() - stream.steady;
            let segments = segments(stream, (measured / 64).max(1_024));
            let times = race(stream, &segments, &mut lanes, replays, tick);
            let pair = |name: &str| {
                let index = able.iter().position(|&other| other == name)?;
                Some(times[index].pair)
            };
            let cell = |name| pair(name).map_or("–".to_owned(), |pair| format!("{pair:.0}"));
            let mut cells: Vec<String> = names().into_iter().map(cell).collect();
            for rival in ["VMA", "gpu-alloc"] {
                let ratio = pair(names()[0]).zip(pair(rival)).map(|(ours, rival)| ours / rival);
                cells.push(ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")));
            }
            println!("| {name}, granularity {granularity} | {} |", cells.join(" | "));
        }
    }
}

/// The memory that all allocators hold from the driver on the captured streams.
pub fn reserved_memory(streams: &[Captured]) {
    let profile = Profile::default();
    header(
        "Reserved memory",
        "Peak reserved / peak live; in brackets calls of `vkAllocateMemory`, and the most memory objects \
         that existed at once. A graphics card of 8 GiB and granularity 1024. What waits for frames in \
         flight is not live, so nobody who waits comes below the last column: live and waiting / live.",
        &names_and(&["least"]),
    );
    let mut logs = vec![(0.0, 0); names().len() + 1];
    for stream in streams {
        for in_flight in [0, 3] {
            let mut row = Vec::new();
            macro_rules! push {
                ($subject:ty) => {
                    row.push(reserved::<$subject>(stream, &profile, in_flight));
                };
            }
            for_each_full_path!(push);
            let least = least(stream, in_flight);
            let factors = row.iter().map(|reserved| reserved.factor).chain([least]);
            for (log, factor) in logs.iter_mut().zip(factors) {
                *log = (log.0 + factor.ln(), log.1 + 1);
            }
            let mut cells: Vec<String> = row.iter().map(cell).collect();
            cells.push(format!("{least:.3}"));
            println!("| {}, {in_flight} in flight | {} |", stream.name(), cells.join(" | "));
        }
    }
    let means = logs.iter().map(|(sum, count)| format!("{:.3}", (sum / f64::from(*count)).exp()));
    println!("| geometric mean | {} |", means.collect::<Vec<_>>().join(" | "));
}

fn cell(reserved: &Reserved) -> String {
    let Reserved { factor, driver_allocations, most_memories, refused } = reserved;
    let refused = if *refused == 0 { String::new() } else { format!(", {refused} refused") };
    format!("{factor:.3} ({driver_allocations}, {most_memories}{refused})")
}

/// The cost of a deferred free compared with an immediate one.
pub fn retire(quick: bool, tick: f64) {
    let columns = ["retire", "collect", "free_now", "(retire + collect) / free_now"];
    header(
        "Deferred ends",
        "ns for each allocation that ends in a frame of so many, 10,000 alive beside them, the full path: \
         the handle retired, the frame's collect, the same by `free_now` one by one. Medians of frames in \
         turn.",
        &columns.map(str::to_owned),
    );
    let frames = if quick { 400 } else { 4_000 };
    for frame in [16, 64, 256, 1_024] {
        let Costs { retire, collect, free_now } = costs(frame, frames, tick);
        let ratio = (retire + collect) / free_now;
        println!("| frames of {frame} | {retire:.1} | {collect:.1} | {free_now:.1} | {ratio:.2} |");
    }
    let one = throughput(1, tick);
    let many = [2, 4].map(|threads| {
        let many = throughput(threads, tick);
        format!(", {:.1} M by {threads} ({:.2}×)", many / 1e6, many / one)
    });
    println!(
        "\nRetires per second on one memory type, by threads: {:.1} M by one{}",
        one / 1e6,
        many.concat()
    );
}

/// Pairs per second by number of threads.
pub fn threads(quick: bool, tick: f64) {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    header(
        "Threads",
        &format!(
            "Million pairs of free and allocate per second of all threads together, 1,000 alive for each, \
             granularity 1; in brackets over one thread, in the mean of these memory types, and how long a thread ran for a \
             pair, over the same: what threads take from each other by writing the same cache lines is in that, and a \
             wait for a processor or a lock is not. The last column calculates and shares nothing. This \
             machine has {cores} cores."
        ),
        &names_and(&["arithmetic"]),
    );
    let (profile, rounds) = (roomy(0, 1), if quick { 24 } else { 96 });
    let paces = |purposes: &[Purpose]| {
        let mut paces = Vec::new();
        macro_rules! push {
            ($subject:ty) => {
                paces.push(pace::<$subject>(&profile, purposes, rounds, tick));
            };
        }
        for_each_full_path!(push);
        paces.push(arithmetic(purposes.len(), rounds, tick));
        paces
    };
    let types = [Purpose::DeviceLocal, Purpose::Upload, Purpose::Readback];
    let ones = types.map(|purpose| paces(&[purpose]));
    for (threads, one_type) in [(1, true), (2, false), (2, true), (4, false), (4, true)] {
        let type_of = |thread: usize| if one_type { 0 } else { thread % types.len() };
        let purposes: Vec<Purpose> = (0..threads).map(|thread| types[type_of(thread)]).collect();
        let paces = if threads == 1 { ones[0].clone() } else { paces(&purposes) };
        let alone = |subject: usize| {
            let alone: Vec<Pace> =
                (0..threads).map(|thread| ones[type_of(thread)][subject]).collect();
            Pace::together(&alone)
        };
        let ones: Vec<Pace> = (0..paces.len()).map(alone).collect();
        let cell = |(pace, one): (&Pace, &Pace)| {
            let ran = pace.cpu.zip(one.cpu).map(|(cpu, one)| format!("; {:.2}", cpu / one));
            let over = format!("{:.2}×{}", pace.rate / one.rate, ran.unwrap_or_default());
            format!("{:.2} ({over})", pace.rate / 1e6)
        };
        let cells: Vec<String> = paces.iter().zip(&ones).map(cell).collect();
        let types = match (threads, one_type) {
            (1, _) => "",
            (_, true) => " on one memory type",
            (_, false) => " on different memory types",
        };
        println!("| {threads}{types} | {} |", cells.join(" | "));
    }
}
