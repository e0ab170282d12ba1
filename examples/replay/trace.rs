//! A captured stream of allocations: its operations, and the text that they are stored as.
//!
//! The text has one operation per line, and lines that begin with `#` say where it is from:
//!
//! | line | meaning |
//! |---|---|
//! | `a <id> <size> <alignment> <b\|i> <d\|u\|r>` | a buffer or image got memory: device-local, for uploads, for read-back |
//! | `f <id>` | it was destroyed |
//! | `s` | a queue submit |
//! | `p` | a present: the end of a frame |
//!
//! Identifiers run from 0 and each is used once. What is not freed is alive at the end.

use std::num::NonZeroU64;

/// What the memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Resource {
    /// A buffer, or an image with linear tiling.
    Buffer,
    /// An image with optimal tiling.
    Image,
}

/// Which kind of memory the program chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Intent {
    /// Memory of the GPU.
    DeviceLocal,
    /// Memory that the host writes.
    Upload,
    /// Memory that the host reads.
    Readback,
}

/// One allocation that the program asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    /// Bytes; never 0.
    pub(crate) size: NonZeroU64,
    /// Bytes; a power of two.
    pub(crate) alignment: u64,
    pub(crate) resource: Resource,
    pub(crate) intent: Intent,
}

/// One line of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Allocates the request of this number.
    Allocate(u32),
    /// Frees the allocation of this number, which is alive.
    Free(u32),
    /// Submits to the queue.
    Submit,
    /// Presents, which ends a frame.
    Present,
}

/// A whole stream. Every `Allocate` and `Free` names a request that is there, in the right order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    requests: Vec<Request>,
    operations: Vec<Operation>,
}

/// The most that is alive at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peak {
    /// Bytes of all kinds of memory together.
    pub(crate) bytes: u64,
    /// Bytes of device-local memory alone, at its own peak.
    pub(crate) device_local_bytes: u64,
    /// Bytes of the other kinds, at their own peak.
    pub(crate) host_bytes: u64,
    /// Allocations.
    pub(crate) count: usize,
}

/// A line that is not understood, or that contradicts an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub(crate) struct DamagedLine {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) fault: Fault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("an operation is a, f, s or p")]
    UnknownOperation,
    #[error("an allocation reads: a <id> <size> <alignment> <b|i> <d|u|r>")]
    Allocation,
    #[error("a free reads: f <id>")]
    Free,
    #[error("s and p stand alone")]
    Surplus,
    #[error("a size of 0 bytes")]
    ZeroSize,
    #[error("the alignment {0} is not a power of two")]
    Alignment(u64),
    #[error("allocation {found} comes where {expected} was expected")]
    IdentifierOrder { found: u32, expected: u32 },
    #[error("allocation {0} is freed but was never made")]
    UnknownIdentifier(u32),
    #[error("allocation {0} is freed a second time")]
    FreedTwice(u32),
}

impl Trace {
    /// Reads the text of a trace.
    pub(crate) fn parse(text: &str) -> Result<Self, DamagedLine> {
        let mut trace = Self::default();
        let mut alive: Vec<bool> = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let operation =
                trace.parse_line(text, &mut alive).map_err(|fault| DamagedLine { line, fault })?;
            trace.operations.extend(operation);
        }
        Ok(trace)
    }

    fn parse_line(
        &mut self,
        line: &str,
        alive: &mut Vec<bool>,
    ) -> Result<Option<Operation>, Fault> {
        let mut fields = line.split_ascii_whitespace();
        let operation = match fields.next() {
            None => return Ok(None),
            Some(comment) if comment.starts_with('#') => return Ok(None),
            Some("a") => {
                let (id, request) = parse_allocation(fields)?;
                let expected = alive.len() as u32;
                if id != expected {
                    return Err(Fault::IdentifierOrder { found: id, expected });
                }
                self.requests.push(request);
                alive.push(true);
                Operation::Allocate(id)
            }
            Some("f") => {
                let id = parse_free(fields)?;
                match alive.get_mut(id as usize) {
                    None => return Err(Fault::UnknownIdentifier(id)),
                    Some(alive) if !*alive => return Err(Fault::FreedTwice(id)),
                    Some(alive) => *alive = false,
                }
                Operation::Free(id)
            }
            Some("s") if fields.next().is_none() => Operation::Submit,
            Some("p") if fields.next().is_none() => Operation::Present,
            Some("s" | "p") => return Err(Fault::Surplus),
            Some(_) => return Err(Fault::UnknownOperation),
        };
        Ok(Some(operation))
    }

    /// The operations in the program's order.
    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The request of an allocation of this trace.
    pub(crate) fn request(&self, id: u32) -> &Request {
        &self.requests[id as usize]
    }

    /// How many allocations the operations make; their numbers run below it.
    pub(crate) fn allocations(&self) -> usize {
        self.requests.len()
    }

    /// Whether the program presented. One that did not has no frames but its submits.
    pub(crate) fn presents(&self) -> bool {
        self.operations.contains(&Operation::Present)
    }

    /// The first `count` operations alone.
    #[must_use]
    pub(crate) fn truncated(mut self, count: usize) -> Self {
        self.operations.truncate(count);
        let kept = self
            .operations
            .iter()
            .filter(|operation| matches!(operation, Operation::Allocate(_)))
            .count();
        self.requests.truncate(kept);
        self
    }

    /// All sizes divided by `divisor`, which is finite and above 0, and rounded up to whole bytes.
    #[must_use]
    pub(crate) fn scaled(mut self, divisor: f64) -> Self {
        for request in &mut self.requests {
            // A cast from a float saturates, so a tiny divisor asks for all there is.
            let size = (request.size.get() as f64 / divisor).ceil() as u64;
            request.size = NonZeroU64::new(size).unwrap_or(NonZeroU64::MIN);
        }
        self
    }

    /// The most that is alive at one time.
    pub(crate) fn peak(&self) -> Peak {
        let mut peak = Peak::default();
        let (mut device_local, mut host, mut count) = (0_u64, 0_u64, 0);
        for operation in &self.operations {
            let (Operation::Allocate(id) | Operation::Free(id)) = *operation else { continue };
            let request = self.request(id);
            let bytes = match request.intent {
                Intent::DeviceLocal => &mut device_local,
                Intent::Upload | Intent::Readback => &mut host,
            };
            if matches!(operation, Operation::Allocate(_)) {
                *bytes = bytes.saturating_add(request.size.get());
                count += 1;
            } else {
                *bytes = bytes.saturating_sub(request.size.get());
                count -= 1;
            }
            peak = Peak {
                bytes: peak.bytes.max(device_local.saturating_add(host)),
                device_local_bytes: peak.device_local_bytes.max(device_local),
                host_bytes: peak.host_bytes.max(host),
                count: peak.count.max(count),
            };
        }
        peak
    }
}

fn parse_allocation<'a>(
    mut fields: impl Iterator<Item = &'a str>,
) -> Result<(u32, Request), Fault> {
    let mut field = || fields.next().ok_or(Fault::Allocation);
    let id = number(field()?).ok_or(Fault::Allocation)?;
    let size: u64 = number(field()?).ok_or(Fault::Allocation)?;
    let alignment: u64 = number(field()?).ok_or(Fault::Allocation)?;
    let resource = match field()? {
        "b" => Resource::Buffer,
        "i" => Resource::Image,
        _ => return Err(Fault::Allocation),
    };
    let intent = match field()? {
        "d" => Intent::DeviceLocal,
        "u" => Intent::Upload,
        "r" => Intent::Readback,
        _ => return Err(Fault::Allocation),
    };
    if fields.next().is_some() {
        return Err(Fault::Allocation);
    }
    let size = NonZeroU64::new(size).ok_or(Fault::ZeroSize)?;
    if !alignment.is_power_of_two() {
        return Err(Fault::Alignment(alignment));
    }
    Ok((id, Request { size, alignment, resource, intent }))
}

fn parse_free<'a>(mut fields: impl Iterator<Item = &'a str>) -> Result<u32, Fault> {
    match (fields.next().and_then(number), fields.next()) {
        (Some(id), None) => Ok(id),
        _ => Err(Fault::Free),
    }
}

/// A number in plain digits.
fn number<N: std::str::FromStr>(field: &str) -> Option<N> {
    field.parse().ok().filter(|_| field.bytes().all(|byte| byte.is_ascii_digit()))
}
