//! Compares `MemoryPool` with a naive model: allocations, frees, double frees and wild pointers in
//! any order.
#![no_main]

#[path = "../../support/pool_twin.rs"]
mod pool_twin;

use libfuzzer_sys::fuzz_target;
use pool_twin::{BYTES, Call, DESCS, run};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let calls: Vec<Call> = rest
        .chunks_exact(3)
        .map(|chunk| {
            let number = usize::from(u16::from_le_bytes([chunk[1], chunk[2]]));
            match chunk[0] % 10 {
                0..3 => Call::Allocate {
                    size: number % 2048 + 1,
                    alignment: u32::from(chunk[0] / 10 % 9),
                },
                3 | 4 => Call::Free(number),
                5 => Call::FreeAgain(number),
                6 => Call::Look(number % BYTES),
                7 => Call::FreeAt(number % BYTES),
                8 => Call::FreeLater(number),
                _ => Call::Pass(number),
            }
        })
        .collect();
    run(&DESCS[usize::from(first) % DESCS.len()], &calls, None);
});
