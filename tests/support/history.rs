//! Histories from a fuzzer: a block, and operations on it that run on twins. Every input is a valid
//! history.
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use arbitrary::{Arbitrary, Unstructured};
use fencepost::tlsf::{Config, Key, Region, State};

use super::twin::{Agreement, Subject, Twins};

/// A number from 1 to 2⁶⁴; each power of two is equally likely.
#[derive(Clone, Copy, Debug)]
pub struct Magnitude {
    power: u8,
    low: u16,
}

impl Magnitude {
    /// The number, with its power wrapped around below `powers`.
    fn below_power(self, powers: u8) -> u64 {
        let mantissa = (1 << 16) + u128::from(self.low);
        (mantissa << (self.power % powers) >> 16) as u64
    }
}

/// The dimensions of a block: 1 to 2³¹ − 1 granules of 1 byte to 2³¹ bytes.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    granules: Magnitude,
    granule_power: u8,
    /// The bytes that do not fill a granule.
    rest: u16,
    /// So close to the last serial that serials wrap around.
    serials_left: u8,
}

impl Block {
    pub fn config(self) -> Config {
        let granule = 1 << (self.granule_power % 32);
        let size = self.granules.below_power(31) * granule + u64::from(self.rest) % granule;
        let first_serial = u32::MAX - u32::from(self.serials_left);
        Config { first_serial, ..Config::new(size, granule) }
    }
}

/// One call. Keys and regions are chosen by their positions, wrapped around.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// Any request, including sizes above that of the block.
    Allocate {
        size: Magnitude,
        alignment: u8,
    },
    /// A request for a whole free region, or a few bytes less or more.
    AllocateHole {
        at: u8,
        more: i8,
        alignment: u8,
    },
    /// A request of no bytes, or with an alignment that is not a power of two.
    AllocateWrongly {
        size: u8,
        alignment: u16,
    },
    Free(u8),
    Retire(u8),
    Reach(u8),
    /// Some of the pending keys, in order or reversed, and possibly one key that makes it fail.
    ReachBatch {
        from: u8,
        count: u8,
        backwards: bool,
        wrong: Option<Wrong>,
    },
    /// Ends an allocation by a key that is not in the right state for it.
    Misuse {
        wrong: Wrong,
        by: End,
    },
}

/// Keys that a user could still hold.
#[derive(Clone, Copy, Debug)]
pub enum Wrong {
    Used(u8),
    Pending(u8),
    Gone(u8),
}

#[derive(Clone, Copy, Debug)]
pub enum End {
    Free,
    Retire,
    Reach,
}

/// A block, and the operations on it.
#[derive(Clone, Debug)]
pub struct History {
    pub block: Block,
    pub operations: Vec<Operation>,
}

// Implemented by hand: derived, a choice would take four bytes, and a list would end at the first
// even one.
impl<'a> Arbitrary<'a> for History {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let block = Block {
            granules: bytes.arbitrary()?,
            granule_power: bytes.arbitrary()?,
            rest: bytes.arbitrary()?,
            serials_left: bytes.arbitrary()?,
        };
        let mut operations = Vec::new();
        while !bytes.is_empty() {
            operations.push(bytes.arbitrary()?);
        }
        Ok(Self { block, operations })
    }
}

impl<'a> Arbitrary<'a> for Magnitude {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self { power: bytes.arbitrary()?, low: bytes.arbitrary()? })
    }
}

impl<'a> Arbitrary<'a> for Operation {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(match bytes.arbitrary::<u8>()? % 16 {
            0..=3 => Self::Allocate { size: bytes.arbitrary()?, alignment: bytes.arbitrary()? },
            4..=6 => Self::AllocateHole {
                at: bytes.arbitrary()?,
                more: bytes.arbitrary()?,
                alignment: bytes.arbitrary()?,
            },
            7 => Self::AllocateWrongly { size: bytes.arbitrary()?, alignment: bytes.arbitrary()? },
            8 | 9 => Self::Free(bytes.arbitrary()?),
            10..=12 => Self::Retire(bytes.arbitrary()?),
            13 => Self::Reach(bytes.arbitrary()?),
            14 => Self::ReachBatch {
                from: bytes.arbitrary()?,
                count: bytes.arbitrary()?,
                backwards: bytes.arbitrary()?,
                wrong: bytes.arbitrary()?,
            },
            _ => Self::Misuse {
                wrong: bytes.arbitrary()?,
                by: *bytes.choose(&[End::Free, End::Retire, End::Reach])?,
            },
        })
    }
}

impl<'a> Arbitrary<'a> for Wrong {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let kind = *bytes.choose(&[Self::Used, Self::Pending, Self::Gone])?;
        bytes.arbitrary().map(kind)
    }
}

impl History {
    /// Executes everything, comparing after every operation; then frees everything.
    pub fn play(&self, twins: &mut Twins<impl Subject>) -> Agreement {
        for (step, &operation) in self.operations.iter().enumerate() {
            operation
                .play(twins)
                .map_err(|error| format!("operation {step}, {operation:?}: {error}"))?;
        }
        twins.compare_keys()?;
        twins.reach_batch(&twins.pending.clone())?;
        for key in twins.used.clone() {
            twins.free(key)?;
        }
        match twins.subject.regions().count() {
            1 => Ok(()),
            regions => Err(format!("{regions} regions in an empty block")),
        }
    }
}

fn pick<T: Copy>(from: &[T], at: u8) -> Option<T> {
    from.get(usize::from(at) % from.len().max(1)).copied()
}

impl Wrong {
    fn key(self, twins: &Twins<impl Subject>) -> Option<Key> {
        match self {
            Self::Used(at) => pick(&twins.used, at),
            Self::Pending(at) => pick(&twins.pending, at),
            Self::Gone(at) => pick(&twins.gone, at),
        }
    }
}

impl Operation {
    fn play(self, twins: &mut Twins<impl Subject>) -> Agreement {
        match self {
            Self::Allocate { size, alignment } => {
                twins.allocate(size.below_power(63), 1 << (alignment % 64))
            }
            Self::AllocateHole { at, more, alignment } => {
                let is_free = |region: &&Region| region.state == State::Free;
                let holes: Vec<Region> =
                    twins.twin.regions().iter().filter(is_free).copied().collect();
                let Some(Region { size, .. }) = pick(&holes, at) else { return Ok(()) };
                twins.allocate(size.saturating_add_signed(more.into()), 1 << (alignment % 64))
            }
            Self::AllocateWrongly { size, alignment } => {
                twins.allocate(size.into(), alignment.into())
            }
            Self::Free(at) => pick(&twins.used, at).map_or(Ok(()), |key| twins.free(key)),
            Self::Retire(at) => pick(&twins.used, at).map_or(Ok(()), |key| twins.retire(key)),
            Self::Reach(at) => pick(&twins.pending, at).map_or(Ok(()), |key| twins.reach(key)),
            Self::ReachBatch { from, count, backwards, wrong } => {
                let from = usize::from(from) % (twins.pending.len() + 1);
                let batch = twins.pending[from..].iter().take(count.into()).copied();
                let mut batch: Vec<Key> = batch.collect();
                batch.extend(wrong.and_then(|wrong| wrong.key(twins)));
                if backwards {
                    batch.reverse();
                }
                twins.reach_batch(&batch)
            }
            Self::Misuse { wrong, by } => match (wrong.key(twins), by) {
                (Some(key), End::Free) => twins.free(key),
                (Some(key), End::Retire) => twins.retire(key),
                (Some(key), End::Reach) => twins.reach(key),
                (None, _) => Ok(()),
            },
        }
    }
}
