//! Figures as a line of text.

use core::fmt;

use crate::allocator::{MemoryStatistics, Statistics};

/// A number of bytes in the largest binary unit of which it contains at least one.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (bytes, units) = (self.0, ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]);
        let thousands = bytes.checked_ilog2().unwrap_or(0) as usize / 10;
        match thousands.checked_sub(1).and_then(|unit| units.get(unit)) {
            None => write!(f, "{bytes} B"),
            Some(unit) => {
                write!(f, "{:.1} {unit}", bytes as f64 / (1u64 << (10 * thousands)) as f64)
            }
        }
    }
}

/// One line for a log: counts and bytes of live and pending allocations, and the memory that is
/// held for them.
///
/// # Example
/// ```
/// # use fencepost::*;
/// # let fake = fake::FakeDriver::new(&Default::default());
/// # let desc = AllocatorDesc::new(fake.instance(), fake.physical_device(), fake.device());
/// # let allocator = unsafe { Allocator::new(&desc)? };
/// let desc = BufferDesc::new(96 << 10, vk::BufferUsageFlags::VERTEX_BUFFER);
/// let mesh = allocator.create_buffer(&desc, &AllocationDesc::device_local())?;
/// assert_eq!(
///     allocator.statistics().to_string(),
///     "1 live in 96.0 KiB, 0 pending in 0 B, 928.0 KiB free; 1.0 MiB reserved in 1 block"
/// );
/// # unsafe { allocator.shutdown()? };
/// # drop(mesh);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.total.fmt(f)
    }
}

/// One line for a log, in the format of [`Statistics`].
impl fmt::Display for MemoryStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [live, pending, free] = [self.live, self.pending, self.free].map(Bytes);
        write!(
            f,
            "{} live in {live}, {} pending in {pending}, ",
            self.live_count, self.pending_count
        )?;
        let blocks = if self.blocks == 1 { "block" } else { "blocks" };
        write!(f, "{free} free; {} reserved in {} {blocks}", Bytes(self.reserved), self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::Bytes;

    #[test]
    fn bytes_are_told_in_the_unit_they_fill() {
        let told =
            [0, 1023, 1024, 1536, 1 << 20, (1 << 30) - 1, u64::MAX].map(|n| Bytes(n).to_string());
        assert_eq!(
            told,
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1024.0 MiB", "16.0 EiB"]
        );
    }
}
