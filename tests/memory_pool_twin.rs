//! `MemoryPool` and a naive model execute the same random calls. Models with a planted fault are
//! detected.

#[path = "support/pool_twin.rs"]
mod pool_twin;

use pool_twin::{BYTES, Call, DESCS, Fault, run};
use proptest::prelude::*;

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let size = prop_oneof![1..100_usize, 1..2000_usize];
    let call = prop_oneof![
        5 => (size, 0..9_u32).prop_map(|(size, alignment)| Call::Allocate { size, alignment }),
        4 => any::<usize>().prop_map(Call::Free),
        1 => any::<usize>().prop_map(Call::FreeAgain),
        2 => (0..BYTES).prop_map(Call::Look),
        1 => (0..BYTES).prop_map(Call::FreeAt),
        2 => any::<usize>().prop_map(Call::FreeLater),
        2 => any::<usize>().prop_map(Call::Pass),
    ];
    prop::collection::vec(call, 1..300)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn the_pool_answers_as_its_twin(which in 0..DESCS.len(), calls in calls()) {
        run(&DESCS[which], &calls, None);
    }
}

/// The control: each fault of the twin is detected.
#[test]
fn each_planted_fault_is_found() {
    for fault in [
        Fault::ForgetsThatItBegan,
        Fault::FreesFromTheMiddle,
        Fault::CountsRoundedSizes,
        Fault::LosesThePeak,
        Fault::IgnoresQuarantine,
        Fault::IgnoresBoundaries,
        Fault::ForgetsWhatWaits,
    ] {
        let desc = match fault {
            Fault::IgnoresQuarantine => DESCS[2],
            Fault::IgnoresBoundaries => DESCS[6],
            _ => DESCS[0],
        };
        let mut runner = proptest::test_runner::TestRunner::new_with_rng(
            config(200),
            proptest::test_runner::TestRng::deterministic_rng(
                proptest::test_runner::RngAlgorithm::ChaCha,
            ),
        );
        let found = runner.run(&calls(), |calls| {
            run(&desc, &calls, Some(fault));
            Ok(())
        });
        assert!(found.is_err(), "{fault:?} was not noticed");
    }
}
