//! Names that are made at run time: the memory that they hold is bounded, however many there are.

#[path = "support/counting.rs"]
mod counting;

use fencepost::intern;

const MANY: u64 = 1_000_000;

/// A name of letters alone, another one for each number.
fn letters(number: u64) -> String {
    format!("{number:x}")
        .chars()
        .map(|digit| (b'a' + digit.to_digit(16).unwrap() as u8) as char)
        .collect()
}

#[test]
fn a_million_different_names_are_not_a_million_kept() {
    // Each of the first is told as it is.
    let first: Vec<String> = (0..65_000).map(|at| format!("rock {at}")).collect();
    let kept: Vec<&'static str> = first.iter().map(|name| intern(name)).collect();
    assert!(first.iter().zip(&kept).all(|(name, kept)| name == kept));
    // And the last ones there is a place for.
    (65_000..70_000).for_each(|at| _ = intern(&format!("rock {at}")));

    let before = counting::bytes();
    for at in 0..MANY {
        assert_eq!(intern(&format!("rock {}", MANY + at)), "rock …");
        assert_eq!(intern(&letters(at)), "…");
    }
    let mut others = 0;
    for at in 0..MANY {
        let (name, called) = (letters(at), intern(&format!("{} 1", letters(at))));
        match called.strip_suffix(" …") {
            Some(beginning) => assert_eq!(beginning, name),
            None => others += 1,
        }
    }
    assert!((MANY / 2..MANY).contains(&others), "{others}");
    let grown = counting::bytes() - before;
    assert!(grown < 256 << 10, "{grown} bytes more");
    // What was kept is known again.
    assert!(first.iter().zip(&kept).all(|(name, kept)| std::ptr::eq(intern(name), *kept)));
}
