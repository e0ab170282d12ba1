//! Every legal order of the steps, and how one is executed.

use crate::rig::{Intervals, Range};

/// One of the two recordings.
pub(super) type Who = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begin(Who),
    Record(Who),
    Submit(Who),
    Abandon(Who),
    Drop,
}

/// A legal order of steps.
pub(super) struct Case {
    pub(super) steps: Vec<Step>,
    /// Whether each recording names the buffer.
    pub(super) names: [bool; 2],
}

/// Every legal order: a recording begins, records and ends; the buffer is dropped once, and no
/// recording names it afterwards.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for names in [[true, true], [true, false]] {
        for second_ends in [Step::Submit(1), Step::Abandon(1)] {
            let recordings = [
                [Step::Begin(0), Step::Record(0), Step::Submit(0)],
                [Step::Begin(1), Step::Record(1), second_ends],
            ];
            extend(&recordings, names, &mut Vec::new(), [0, 0], false, &mut cases);
        }
    }
    cases
}

/// Adds all orders that begin with `steps`, in which each recording has executed `done` steps and
/// the drop is `dropped`.
fn extend(
    recordings: &[[Step; 3]; 2],
    names: [bool; 2],
    steps: &mut Vec<Step>,
    done: [usize; 2],
    dropped: bool,
    cases: &mut Vec<Case>,
) {
    if done == [3, 3] && dropped {
        cases.push(Case { steps: steps.clone(), names });
    }
    for who in 0..2 {
        if done[who] < 3 {
            let mut done = done;
            steps.push(recordings[who][done[who]]);
            done[who] += 1;
            extend(recordings, names, steps, done, dropped, cases);
            steps.pop();
        }
    }
    if !dropped && (0..2).all(|who| !names[who] || done[who] >= 2) {
        steps.push(Step::Drop);
        extend(recordings, names, steps, done, true, cases);
        steps.pop();
    }
}

/// The owner of the buffer's range: the allocator, or a model of a rule.
pub(super) trait Keeper {
    /// The range of the buffer that the case is about.
    fn buffer(&mut self) -> Range;
    /// Executes the step. A submission waits for `ticket`.
    fn step(&mut self, step: Step, names: bool, ticket: u64);
    /// Releases the submission behind this ticket, and waits for its end.
    fn open(&mut self, ticket: u64);
    /// The range that a new allocation of the buffer's size gets now. It is freed immediately.
    fn probe(&mut self) -> Range;
}

/// Executes a case. The checker contains the overlaps afterwards. Returns whether the last probe,
/// when everything was done, got the buffer's range.
pub(super) fn play(
    case: &Case,
    keeper: &mut impl Keeper,
    first_ticket: u64,
    checker: &mut Intervals,
) -> bool {
    let range = keeper.buffer();
    let number = checker.give(range);
    let mut ticket = first_ticket;
    let probe = |keeper: &mut _, checker: &mut Intervals| {
        let got = Keeper::probe(keeper);
        let probe = checker.give(got);
        checker.give_up(probe);
        got
    };
    for &step in &case.steps {
        let names = match step {
            Step::Begin(who) | Step::Record(who) | Step::Submit(who) | Step::Abandon(who) => {
                case.names[who]
            }
            Step::Drop => true,
        };
        if matches!(step, Step::Submit(_)) {
            ticket += 1;
        }
        keeper.step(step, names, ticket);
        match step {
            Step::Record(_) if names => checker.record(number),
            Step::Submit(_) if names => checker.submit(number, ticket),
            Step::Abandon(_) if names => checker.abandon(number),
            Step::Drop => checker.give_up(number),
            _ => {}
        }
        probe(keeper, checker);
    }
    let mut last = range;
    for ticket in first_ticket + 1..=ticket {
        // From here on the device may be done with it; before this, it certainly is not.
        checker.open(ticket);
        keeper.open(ticket);
        last = probe(keeper, checker);
    }
    last.overlaps(&range)
}
