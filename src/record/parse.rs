//! Parses lines into a record. A line that contradicts earlier lines is refused with its number,
//! and no partial result is returned.

use core::num::NonZeroU64;
use std::collections::{BTreeMap, HashMap};

use super::{
    HEADER, Intent,
    picture::{Mark, MemorySample, Operation, Record, RecordedHeap, Request},
};
use crate::policy::granularity::ResourceKind;

/// A line that cannot be parsed, or that contradicts an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct DamagedLine {
    /// The line number, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// The fault of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It starts with an unknown word.
    #[error("no line begins so; an operation is a, f, s or p")]
    UnknownOperation,
    /// An allocation lacks fields, or has invalid ones.
    #[error("an allocation reads: a <id> <size> <alignment> <b|i> <d|u|r> [<type> [<name>]]")]
    Allocation,
    /// A free lacks its identifier, or has more fields.
    #[error("a free reads: f <id>")]
    Free,
    /// A submission has an incomplete point, or more than one.
    #[error("a submission reads: s [<timeline> <value>]")]
    Submission,
    /// There are too many or too few words, or one that is not a number.
    #[error("the fields after {0} are not what they must be")]
    Fields(char),
    /// An allocation of 0 bytes.
    #[error("a size of 0 bytes")]
    ZeroSize,
    /// An alignment that is not a power of two.
    #[error("the alignment {0} is not a power of two")]
    Alignment(u64),
    /// Identifiers of allocations must start at 0 and be consecutive.
    #[error("allocation {found} comes where {expected} was expected")]
    IdentifierOrder {
        /// The identifier in the line.
        found: u32,
        /// The expected identifier.
        expected: u32,
    },
    /// A free of an allocation that never existed.
    #[error("allocation {0} is freed but was never made")]
    UnknownIdentifier(u32),
    /// A free of an allocation that was freed already.
    #[error("allocation {0} is freed a second time")]
    FreedTwice(u32),
    /// Heaps and memory types must be numbered from 0, and the heap of a type must exist.
    #[error("{0} comes where {1} was expected, or lies in a heap that is not there")]
    DeviceOrder(u32, u32),
    /// A memory type that the device does not have.
    #[error("the device has no memory type {0}")]
    UnknownType(u32),
    /// The submitted values of a timeline must rise.
    #[error("timeline {timeline} submits {value} after {last}")]
    NotRising {
        /// The number of the timeline.
        timeline: u32,
        /// Its value.
        value: u64,
        /// The previous value.
        last: u64,
    },
    /// The GPU has passed a value that was not submitted, or that it had passed already.
    #[error("timeline {timeline} reaches {value}, of {submitted} submitted and {reached} reached")]
    NotSubmitted {
        /// The number of the timeline.
        timeline: u32,
        /// The value.
        value: u64,
        /// The last value submitted.
        submitted: u64,
        /// The last value reached.
        reached: u64,
    },
    /// Live and pending bytes exceed the reserved bytes.
    #[error("memory type {0} has more live and pending than reserved")]
    Overfull(u32),
    /// The time decreases.
    #[error("the time falls from {0} to {1} microseconds")]
    Time(u64, u64),
    /// The live allocations in the line differ from those according to the lines before.
    #[error(
        "{} allocations of {} bytes are said to live, of {} bytes ever made, and the lines before \
         say {} of {}, of {}", said.0, said.1, said.2, found.0, found.1, found.2
    )]
    Books {
        /// The live allocations, their bytes, and the bytes of all allocations ever made, according
        /// to the line.
        said: (u64, u64, u64),
        /// The same according to the lines before.
        found: (u64, u64, u64),
    },
    /// There is a line after the end.
    #[error("it stands behind the end")]
    AfterEnd,
    /// A record has no end: the file is truncated, or the program did not close its allocator.
    #[error("the record is torn: its end is missing")]
    Torn,
}

/// The state of the parser.
#[derive(Default)]
struct Reader {
    record: Record,
    alive: Vec<bool>,
    /// The live allocations, their bytes, and the bytes of all allocations.
    live_count: u64,
    live_bytes: u64,
    total: u64,
    names: HashMap<Box<str>, u32>,
    /// The submitted and the reached value of each timeline.
    timelines: BTreeMap<u32, (u64, u64)>,
    microseconds: u64,
    ended: bool,
}

impl Record {
    /// Parses the text of a record or a trace.
    ///
    /// # Errors
    /// The first line that is damaged or contradicts an earlier one. A record (recognised by its
    /// first line) must have its end.
    pub fn parse(text: &str) -> Result<Self, DamagedLine> {
        Self::read(text, false)
    }

    /// As [`parse`](Self::parse), but also accepts a record without its end, from a program that
    /// could not close its allocator. A last line without a line break is ignored then.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), except for [`Fault::Torn`].
    pub fn parse_torn(text: &str) -> Result<Self, DamagedLine> {
        let whole = text.rfind('\n').map_or(0, |last| last + 1);
        Self::read(&text[..whole], true)
    }

    fn read(text: &str, may_be_torn: bool) -> Result<Self, DamagedLine> {
        let mut reader = Reader::default();
        let mut last = 0;
        for (line, text) in (1..).zip(text.lines()) {
            reader.line(text).map_err(|fault| DamagedLine { line, fault })?;
            last = line;
        }
        if text.lines().next() == Some(HEADER) && !reader.ended && !may_be_torn {
            return Err(DamagedLine { line: last, fault: Fault::Torn });
        }
        Ok(reader.record)
    }
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), Fault> {
        let line = line.trim_start();
        let (verb, rest) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
        if verb.is_empty() || verb.starts_with('#') {
            return Ok(());
        }
        if self.ended {
            return Err(Fault::AfterEnd);
        }
        match verb {
            "a" => self.allocate(rest),
            "f" => self.free(rest),
            "s" => self.submit(rest),
            "p" => nothing(rest, 'p').map(|()| self.operate(Operation::Present)),
            "g" => self.reach(rest),
            "m" => self.memory(rest),
            "t" => self.time(rest),
            "l" => numbers(rest, 'l').map(|[events]| self.mark(Mark::Lost { events })),
            "h" => self.heap(rest),
            "y" => self.memory_type(rest),
            "e" => nothing(rest, 'e').map(|()| self.ended = true),
            _ => Err(Fault::UnknownOperation),
        }
    }

    fn operate(&mut self, operation: Operation) {
        self.record.operations.push(operation);
    }

    fn mark(&mut self, mark: Mark) {
        self.record.marks.push((self.record.operations.len(), mark));
    }

    fn allocate(&mut self, rest: &str) -> Result<(), Fault> {
        let mut rest = rest;
        let mut field = || {
            let (field, behind) = next_field(rest)?;
            rest = behind;
            Some(field)
        };
        let mut needed = || field().ok_or(Fault::Allocation);
        let id: u32 = number(needed()?).ok_or(Fault::Allocation)?;
        let size: u64 = number(needed()?).ok_or(Fault::Allocation)?;
        let alignment: u64 = number(needed()?).ok_or(Fault::Allocation)?;
        let kind = match needed()? {
            "b" => ResourceKind::Linear,
            "i" => ResourceKind::Optimal,
            _ => return Err(Fault::Allocation),
        };
        let intent = match needed()? {
            "d" => Intent::DeviceLocal,
            "u" => Intent::Upload,
            "r" => Intent::Readback,
            _ => return Err(Fault::Allocation),
        };
        let memory_type = match field() {
            None => None,
            Some(field) => Some(number(field).ok_or(Fault::Allocation)?),
        };
        let name = rest.trim_ascii();
        let size = NonZeroU64::new(size).ok_or(Fault::ZeroSize)?;
        if !alignment.is_power_of_two() {
            return Err(Fault::Alignment(alignment));
        }
        memory_type.map_or(Ok(()), |memory_type| self.check_type(memory_type))?;
        let expected = self.alive.len() as u32;
        if id != expected {
            return Err(Fault::IdentifierOrder { found: id, expected });
        }
        let name = (!name.is_empty()).then(|| self.name(name));
        let request = Request { size, alignment, kind, intent, memory_type, name };
        self.record.requests.push(request);
        self.alive.push(true);
        self.live_count += 1;
        self.live_bytes = self.live_bytes.wrapping_add(size.get());
        self.total = self.total.wrapping_add(size.get());
        self.operate(Operation::Allocate(id));
        Ok(())
    }

    /// The index of a name. Each name is stored once.
    fn name(&mut self, name: &str) -> u32 {
        if let Some(&known) = self.names.get(name) {
            return known;
        }
        let place = self.record.names.len() as u32;
        self.record.names.push(name.into());
        self.names.insert(name.into(), place);
        place
    }

    fn free(&mut self, rest: &str) -> Result<(), Fault> {
        let [id]: [u32; 1] = numbers(rest, 'f').map_err(|_| Fault::Free)?;
        match self.alive.get_mut(id as usize) {
            None => return Err(Fault::UnknownIdentifier(id)),
            Some(alive) if !*alive => return Err(Fault::FreedTwice(id)),
            Some(alive) => *alive = false,
        }
        self.live_count -= 1;
        let size = self.record.requests[id as usize].size.get();
        self.live_bytes = self.live_bytes.wrapping_sub(size);
        self.operate(Operation::Free(id));
        Ok(())
    }

    fn submit(&mut self, rest: &str) -> Result<(), Fault> {
        if rest.trim_ascii().is_empty() {
            self.operate(Operation::Submit);
            return Ok(());
        }
        let [timeline, value]: [u64; 2] = numbers(rest, 's').map_err(|_| Fault::Submission)?;
        let timeline = u32::try_from(timeline).map_err(|_| Fault::Submission)?;
        let (last, _) = self.timelines.entry(timeline).or_default();
        if value <= *last {
            return Err(Fault::NotRising { timeline, value, last: *last });
        }
        *last = value;
        self.operate(Operation::Submit);
        self.mark(Mark::Submitted { timeline, value });
        Ok(())
    }

    fn reach(&mut self, rest: &str) -> Result<(), Fault> {
        let [timeline, value]: [u64; 2] = numbers(rest, 'g')?;
        let timeline = u32::try_from(timeline).map_err(|_| Fault::Fields('g'))?;
        let (submitted, reached) = self.timelines.entry(timeline).or_default();
        if value > *submitted || value <= *reached {
            let (submitted, reached) = (*submitted, *reached);
            return Err(Fault::NotSubmitted { timeline, value, submitted, reached });
        }
        *reached = value;
        self.mark(Mark::Reached { timeline, value });
        Ok(())
    }

    fn memory(&mut self, rest: &str) -> Result<(), Fault> {
        let [memory_type, blocks, reserved, live, pending, largest_free]: [u64; 6] =
            numbers(rest, 'm')?;
        let narrow = |number| u32::try_from(number).map_err(|_| Fault::Fields('m'));
        let (memory_type, blocks) = (narrow(memory_type)?, narrow(blocks)?);
        self.check_type(memory_type)?;
        let taken = live.checked_add(pending).filter(|&taken| taken <= reserved);
        if taken.is_none_or(|taken| largest_free > reserved - taken) {
            return Err(Fault::Overfull(memory_type));
        }
        let sample = MemorySample { blocks, reserved, live, pending, largest_free };
        self.mark(Mark::Memory { memory_type, sample });
        Ok(())
    }

    fn time(&mut self, rest: &str) -> Result<(), Fault> {
        let [microseconds, count, bytes, total]: [u64; 4] = numbers(rest, 't')?;
        if microseconds < self.microseconds {
            return Err(Fault::Time(self.microseconds, microseconds));
        }
        let said = (count, bytes, total);
        let found = (self.live_count, self.live_bytes, self.total);
        if said != found {
            return Err(Fault::Books { said, found });
        }
        self.microseconds = microseconds;
        self.mark(Mark::Time { microseconds });
        Ok(())
    }

    fn heap(&mut self, rest: &str) -> Result<(), Fault> {
        let mut fields = rest.split_ascii_whitespace();
        let mut field = || fields.next().ok_or(Fault::Fields('h'));
        let found: u32 = number(field()?).ok_or(Fault::Fields('h'))?;
        let size = number(field()?).ok_or(Fault::Fields('h'))?;
        let device_local = match field()? {
            "d" => true,
            "h" => false,
            _ => return Err(Fault::Fields('h')),
        };
        let expected = self.record.heaps.len() as u32;
        if fields.next().is_some() {
            return Err(Fault::Fields('h'));
        } else if found != expected {
            return Err(Fault::DeviceOrder(found, expected));
        }
        self.record.heaps.push(RecordedHeap { size, device_local });
        Ok(())
    }

    fn memory_type(&mut self, rest: &str) -> Result<(), Fault> {
        let [found, heap]: [u32; 2] = numbers(rest, 'y')?;
        let expected = self.record.types.len() as u32;
        if found != expected || heap as usize >= self.record.heaps.len() {
            return Err(Fault::DeviceOrder(found, expected));
        }
        self.record.types.push(heap);
        Ok(())
    }

    /// If the record describes the device, the memory type must be known.
    fn check_type(&self, memory_type: u32) -> Result<(), Fault> {
        match self.record.types.len() {
            0 => Ok(()),
            types if (memory_type as usize) < types => Ok(()),
            _ => Err(Fault::UnknownType(memory_type)),
        }
    }
}

/// The next field of a line, and the text after it.
fn next_field(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_ascii_start();
    if text.is_empty() {
        return None;
    }
    Some(text.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((text, "")))
}

/// Parses exactly `N` numbers.
fn numbers<const N: usize, T: std::str::FromStr + Copy + Default>(
    rest: &str,
    verb: char,
) -> Result<[T; N], Fault> {
    let mut fields = rest.split_ascii_whitespace();
    let mut numbers = [T::default(); N];
    for slot in &mut numbers {
        *slot = fields.next().and_then(number).ok_or(Fault::Fields(verb))?;
    }
    if fields.next().is_some() { Err(Fault::Fields(verb)) } else { Ok(numbers) }
}

/// Parses a number in decimal digits.
fn number<N: std::str::FromStr>(field: &str) -> Option<N> {
    field.parse().ok().filter(|_| field.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Checks that there are no more fields.
fn nothing(rest: &str, verb: char) -> Result<(), Fault> {
    numbers::<0, u64>(rest, verb).map(|[]| ())
}
