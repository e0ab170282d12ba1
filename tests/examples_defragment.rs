//! The `defragment` example as its user runs it, on lavapipe.

#[allow(dead_code, reason = "the test uses what the example uses")]
#[path = "../examples/defragment.rs"]
mod defragment;

#[test]
fn a_level_that_ended_gives_most_of_its_memory_back() {
    let out = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("defragment");
    let [before, after] = defragment::enter(&out).unwrap();
    assert!(after < before / 2, "{before} bytes before, {after} after");
    for name in ["defragment_before.svg", "defragment_after.svg"] {
        assert!(std::fs::read_to_string(out.join(name)).unwrap().contains("</svg>"));
    }
}
