//! Ranks: how important memory is when the system is short of it, and the highest rank of many.

use core::num::NonZeroU8;

/// A priority as in Vulkan, from 0 to 1, in steps of a sixteenth. There are so few that a block can
/// count its allocations by rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Rank(NonZeroU8);

impl Rank {
    /// The number of steps from 0 to 1, including both.
    const STEPS: usize = 17;

    /// The priority that a driver assumes by default.
    pub(crate) const USUAL: Self = Self::step(8);

    const fn step(step: u8) -> Self {
        match NonZeroU8::new(step + 1) {
            Some(one_more) => Self(one_more),
            None => panic!("a step is at most 16"),
        }
    }

    /// The nearest step. Values below 0 or above 1 are clamped. `None` for NaN.
    pub(crate) const fn of(priority: f32) -> Option<Self> {
        match priority {
            _ if priority.is_nan() => None,
            _ if priority >= 1.0 => Some(Self::step(16)),
            // The cast saturates at 0 below 0.
            _ => Some(Self::step((priority * 16.0 + 0.5) as u8)),
        }
    }

    pub(crate) fn priority(self) -> f32 {
        self.index() as f32 / 16.0
    }

    fn index(self) -> usize {
        usize::from(self.0.get() - 1)
    }
}

/// The explicit ranks of the allocations in a block.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Ranks {
    counts: [u32; Rank::STEPS],
    total: u32,
}

impl Ranks {
    pub(crate) fn enter(&mut self, rank: Rank) {
        self.counts[rank.index()] += 1;
        self.total += 1;
    }

    pub(crate) fn leave(&mut self, rank: Rank) {
        self.counts[rank.index()] -= 1;
        self.total -= 1;
    }

    /// The number of allocations with an explicit rank.
    pub(crate) fn total(&self) -> u32 {
        self.total
    }

    /// The rank of a block with `live` allocations, whether their rank is explicit or not: the
    /// highest. Allocations without an explicit rank have the usual one, and so has a block without
    /// allocations.
    pub(crate) fn of_block(&self, live: u32) -> Rank {
        let told = self.counts.iter().rposition(|&count| count > 0);
        let highest = told.map_or(Rank::USUAL, |step| Rank::step(step as u8));
        if live > self.total { highest.max(Rank::USUAL) } else { highest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::random::Random;

    #[test]
    fn priorities_are_sixteenths_and_nonsense_is_clamped() {
        for (said, meant) in [
            (0.0, 0.0),
            (0.5, 0.5),
            (1.0, 1.0),
            (-3.0, 0.0),
            (7.0, 1.0),
            (0.3, 0.3125),
            (0.03, 0.0),
        ] {
            assert_eq!(Rank::of(said).unwrap().priority(), meant, "{said}");
        }
        assert_eq!(Rank::of(f32::NAN), None);
        assert_eq!(Rank::of(f32::INFINITY), Rank::of(1.0));
        assert_eq!(Rank::of(f32::NEG_INFINITY), Rank::of(0.0));
        assert_eq!(Rank::USUAL.priority(), 0.5);
    }

    /// Compared with a list of all allocations.
    #[test]
    fn a_block_has_the_highest_rank_of_those_who_live_there() {
        let mut random = Random::new(5);
        let mut below = |most: u64| random.below(most);
        let (mut ranks, mut all) = (Ranks::default(), Vec::<Option<Rank>>::new());
        let mut low = 0;
        for _ in 0..20_000 {
            if all.len() < 6 && below(2) == 0 {
                let rank = Rank::of(below(20) as f32 / 16.0 - 0.1).filter(|_| below(4) > 0);
                rank.into_iter().for_each(|rank| ranks.enter(rank));
                all.push(rank);
            } else if !all.is_empty() {
                let gone = all.swap_remove(below(all.len() as u64) as usize);
                gone.into_iter().for_each(|rank| ranks.leave(rank));
            }
            let highest = all.iter().map(|rank| rank.unwrap_or(Rank::USUAL)).max();
            let wanted = highest.unwrap_or(Rank::USUAL);
            assert_eq!(ranks.of_block(all.len() as u32), wanted, "{all:?}");
            low += u32::from(wanted < Rank::USUAL);
        }
        assert!(low > 1000, "{low}");
    }
}
