//! A cache of the memory types that suit a request. A program makes the same few kinds of request
//! again and again, and ranking the types for each allocation would cost as much as finding the
//! range.

use std::sync::OnceLock;

use ash::vk;

use super::request::Question;
use crate::policy::select::Ranking;

impl Question {
    /// The place where its answer is looked up first.
    #[inline(always)]
    fn place(&self) -> usize {
        let [manner, _] = self.taste.words();
        let told = u64::from(self.type_bits) ^ manner ^ (self.gpu as u64) << 30;
        // Fibonacci hashing: the highest bits are the most mixed.
        let mixed = told.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (u64::BITS - PLACES.ilog2())) as usize
    }

    /// Whether both are the same question. Nearly always they are, so it branches once.
    #[inline(always)]
    fn is(&self, other: &Self) -> bool {
        let ([one, two], [other_one, other_two]) = (self.taste.words(), other.taste.words());
        let resource = self.type_bits ^ other.type_bits | self.gpu as u32 ^ other.gpu as u32;
        u64::from(resource) | one ^ other_one | two ^ other_two == 0
    }
}

/// The answer to a question. It never changes while the allocator lives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// The memory types, best first.
    pub(super) ranking: Ranking,
    /// The properties that all of them have.
    pub(super) required: vk::MemoryPropertyFlags,
}

/// The number of cached answers, a power of two. Further questions are answered each time.
const PLACES: usize = 64;

/// The number of places that are searched for one question.
const TRIES: usize = 4;

/// The answers so far. Each place is written once. Therefore readers take no lock, and no thread
/// writes a cache line that others keep reading.
#[derive(Debug)]
pub(super) struct Choices(Box<[OnceLock<(Question, Choice)>; PLACES]>);

impl Default for Choices {
    fn default() -> Self {
        Self(Box::new([const { OnceLock::new() }; PLACES]))
    }
}

impl Choices {
    /// The cached answer to a question that was asked before. O(1).
    #[inline(always)]
    pub(super) fn known(&self, question: &Question) -> Option<&Choice> {
        let first = question.place();
        (0..TRIES).find_map(|step| {
            let (known, choice) = self.0[(first + step) % PLACES].get()?;
            known.is(question).then_some(choice)
        })
    }

    /// The answer to a question. `spare` holds it if all places are taken. O(1); the first time
    /// O(types²).
    pub(super) fn get<'a>(
        &'a self,
        question: &Question,
        spare: &'a mut Option<Choice>,
        answer: impl Fn() -> Choice,
    ) -> &'a Choice {
        let first = question.place();
        for step in 0..TRIES {
            let place = &self.0[(first + step) % PLACES];
            let (known, choice) = place.get_or_init(|| (*question, answer()));
            if known.is(question) {
                return choice;
            }
        }
        spare.insert(answer())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::policy::{
        intent::{Access, GpuUse, Intent, Taste},
        select::{Wish, rank},
    };

    /// More questions than places, asked three times over in turn.
    #[test]
    fn each_question_keeps_its_own_answer_and_most_are_remembered() {
        let intents = [Intent::DeviceLocal, Intent::Upload, Intent::Readback, Intent::Transient];
        let question = |number: u32| Question {
            type_bits: 0x7FF ^ number,
            gpu: if number % 3 == 0 { GpuUse::Unknown } else { GpuUse::Direct },
            taste: Taste {
                intent: intents[number as usize % 4],
                access: Access::Unsaid,
                prefer_host: number % 5 == 0,
                access_where_free: false,
                explicit: Wish::default(),
            },
        };
        for (questions, most) in [(12, 12), (200, 200 * 3 - 2 * 40)] {
            let choices = Choices::default();
            let answered = Cell::new(0);
            for round in 0..3 {
                for number in 0..questions {
                    let mut spare = None;
                    let choice = choices.get(&question(number), &mut spare, || {
                        answered.set(answered.get() + 1);
                        let required = vk::MemoryPropertyFlags::from_raw(number);
                        Choice {
                            ranking: rank(&[], 0, &Wish::default(), &Default::default()),
                            required,
                        }
                    });
                    assert_eq!(choice.required.as_raw(), number, "round {round}");
                }
            }
            assert!(answered.get() >= questions && answered.get() <= most, "{}", answered.get());
        }
    }
}
