//! The rules of cuts, one by one.

use super::super::point::BagNumber;
use super::*;

#[test]
fn with_nothing_open_and_nothing_submitted_a_drop_is_reached_at_once() {
    let mut cuts = Cuts::new(1);
    assert_eq!(cuts.current(), BagNumber::UNTIMED);
    cuts.add_timeline(0);
    assert!(cuts.current() <= cuts.reached_bag());
}

#[test]
fn an_open_recording_holds_back_drops_and_an_abandoned_one_does_not() {
    let mut cuts = Cuts::new(1);
    let timeline = cuts.add_timeline(0);
    let recording = cuts.begin(timeline).unwrap();
    let bag = cuts.current();
    assert!(bag > cuts.reached_bag());
    cuts.abandon(recording).unwrap();
    assert!(bag <= cuts.reached_bag());
    assert_eq!(cuts.abandon(recording), Err(EndError::Ended));
    cuts.check().unwrap();
}

#[test]
fn an_idle_timeline_holds_nothing_back() {
    let mut cuts = Cuts::new(1);
    let (busy, _idle) = (cuts.add_timeline(0), cuts.add_timeline(0));
    let recording = cuts.begin(busy).unwrap();
    let bag = cuts.current();
    let value = cuts.assign(busy).unwrap();
    cuts.submitted(recording, value).unwrap();
    assert!(bag > cuts.reached_bag());
    cuts.signalled(busy, value).unwrap();
    assert!(bag <= cuts.reached_bag());
}

#[test]
fn a_counter_above_what_was_assigned_releases_nothing() {
    let mut cuts = Cuts::new(1);
    let timeline = cuts.add_timeline(0);
    let recording = cuts.begin(timeline).unwrap();
    let bag = cuts.current();
    let value = cuts.assign(timeline).unwrap();
    cuts.submitted(recording, value).unwrap();
    for jump in [2, u64::MAX] {
        let error = SignalError::Jumped { value: jump, assigned: 1 };
        assert_eq!(cuts.signalled(timeline, jump), Err(error));
        assert!(bag > cuts.reached_bag());
    }
}

#[test]
fn a_timeline_given_up_still_holds_its_drops_back() {
    let mut cuts = Cuts::new(1);
    let timeline = cuts.add_timeline(0);
    let recording = cuts.begin(timeline).unwrap();
    let bag = cuts.current();
    let value = cuts.assign(timeline).unwrap();
    let point = cuts.submitted(recording, value).unwrap();
    cuts.remove_timeline(timeline);
    assert!(bag > cuts.reached_bag() && cuts.is_alive(timeline) && !cuts.reached().has(point));
    cuts.signalled(timeline, value).unwrap();
    assert!(bag <= cuts.reached_bag() && !cuts.is_alive(timeline) && cuts.reached().has(point));
}

#[test]
fn a_program_that_never_collects_holds_a_bounded_number_of_cuts() {
    let mut cuts = Cuts::new(1);
    let timeline = cuts.add_timeline(0);
    let mut last = cuts.current();
    for _ in 0..3 * MOST_CUTS as u64 {
        let recording = cuts.begin(timeline).unwrap();
        last = cuts.current();
        let value = cuts.assign(timeline).unwrap();
        cuts.submitted(recording, value).unwrap();
    }
    cuts.check().unwrap();
    cuts.signalled(timeline, 3 * MOST_CUTS as u64 - 1).unwrap();
    assert!(last > cuts.reached_bag());
    cuts.signalled(timeline, 3 * MOST_CUTS as u64).unwrap();
    assert!(last <= cuts.reached_bag());
}

#[test]
fn a_bag_waits_for_exactly_the_points_that_are_not_reached() {
    let mut cuts = Cuts::new(1);
    let (a, b) = (cuts.add_timeline(0), cuts.add_timeline(0));
    let submit = |cuts: &mut Cuts, timeline| {
        let recording = cuts.begin(timeline).unwrap();
        let bag = cuts.current();
        assert_eq!(cuts.points_of(bag), None, "its recording is open");
        let value = cuts.assign(timeline).unwrap();
        (bag, cuts.submitted(recording, value).unwrap())
    };
    let (first, one) = submit(&mut cuts, a);
    let (second, two) = submit(&mut cuts, b);
    assert_eq!(cuts.points_of(first).unwrap().as_slice(), [one]);
    assert_eq!(cuts.points_of(second).unwrap().as_slice(), [one, two]);
    let stamped: Vec<_> = cuts.stamped().map(|(bag, points)| (bag, points.to_vec())).collect();
    assert_eq!(stamped, [(first, vec![one]), (second, vec![one, two])]);
    cuts.signalled(b, 1).unwrap();
    assert_eq!(cuts.points_of(second).unwrap().as_slice(), [one]);
    cuts.signalled(a, 1).unwrap();
    assert!(cuts.points_of(second).unwrap().is_empty());
    assert_eq!(cuts.points_of(BagNumber::UNTIMED), None);
}

#[test]
fn a_burnt_point_resolves_to_the_greatest_submitted_below_it() {
    let mut cuts = Cuts::new(1);
    let timeline = cuts.add_timeline(0);
    let recording = cuts.begin(timeline).unwrap();
    let value = cuts.assign(timeline).unwrap();
    let below = cuts.submitted(recording, value).unwrap();
    let again = cuts.begin(timeline).unwrap();
    let burnt = Point::new(timeline, cuts.assign(timeline).unwrap());
    assert_eq!(cuts.resolve(burnt), burnt, "it may still be submitted");
    cuts.burn(timeline, burnt.value());
    assert_eq!((cuts.resolve(burnt), cuts.resolve(below)), (below, below));
    assert!(!cuts.reached().has(burnt));
    cuts.signalled(timeline, below.value()).unwrap();
    assert!(cuts.reached().has(burnt));
    // A later point is not passed with it, and a submitted point covers the burnt one.
    let next = Point::new(timeline, cuts.assign(timeline).unwrap());
    assert!(!cuts.reached().has(next));
    cuts.submitted(again, next.value()).unwrap();
    assert!(!cuts.reached().has(burnt), "late by at most one point");
    cuts.check().unwrap();
}

#[test]
fn external_values_must_rise() {
    let mut cuts = Cuts::new(1);
    let timeline = cuts.add_timeline(41);
    let recording = cuts.begin(timeline).unwrap();
    assert_eq!(cuts.submitted(recording, 41), Err(EndError::NotRising { last: 41 }));
    assert_eq!(cuts.submitted(recording, 50).unwrap().value(), 50);
    cuts.check().unwrap();
}

#[test]
fn assumed_idle_frees_what_was_dropped_but_not_what_is_dropped_next() {
    let mut cuts = Cuts::new(1);
    let timeline = cuts.add_timeline(0);
    let recording = cuts.begin(timeline).unwrap();
    let before = cuts.current();
    cuts.assume_idle();
    let after = cuts.current();
    assert!(before <= cuts.reached_bag() && after > cuts.reached_bag());
    let value = cuts.assign(timeline).unwrap();
    cuts.submitted(recording, value).unwrap();
    assert!(after > cuts.reached_bag());
    cuts.signalled(timeline, value).unwrap();
    assert!(after <= cuts.reached_bag());
    cuts.check().unwrap();
}

#[test]
fn what_was_known_of_the_gpu_knows_no_later_timeline() {
    let mut cuts = Cuts::new(1);
    let first = cuts.add_timeline(0);
    let known = cuts.reached();
    let later = cuts.add_timeline(0);
    let recording = cuts.begin(later).unwrap();
    let value = cuts.assign(later).unwrap();
    let point = cuts.submitted(recording, value).unwrap();
    assert!(!known.knows(point) && !known.has(point));
    // The control: one that has ended is known, and has done all its work.
    cuts.remove_timeline(first);
    assert!(cuts.reached().has(Point::new(first, 7)));
    assert!(cuts.reached().knows(point) && !cuts.reached().has(point));
}

#[test]
fn only_assigned_values_burn_and_a_submitted_point_stays_what_it_is() {
    let mut cuts = Cuts::new(1);
    let timeline = cuts.add_timeline(0);
    cuts.burn(timeline, 9);
    cuts.check().unwrap();
    let submit = |cuts: &mut Cuts| {
        let recording = cuts.begin(timeline).unwrap();
        let value = cuts.assign(timeline).unwrap();
        cuts.submitted(recording, value).unwrap()
    };
    let first = submit(&mut cuts);
    let burnt = cuts.assign(timeline).unwrap();
    cuts.burn(timeline, burnt);
    assert_eq!(cuts.resolve(Point::new(timeline, burnt)), first);
    let third = submit(&mut cuts);
    // Behind the burnt one or before it: nobody waits for more than was asked.
    assert_eq!([first, third].map(|point| cuts.resolve(point)), [first, third]);
    cuts.check().unwrap();
}
