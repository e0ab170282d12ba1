//! How much of a heap may be reserved, according to the driver's report or to the heap's size.

/// The driver's report of a heap (`VK_EXT_memory_budget`), in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Report {
    /// How much of the heap the process may use.
    pub(crate) budget: u64,
    /// How much of the heap the process uses.
    pub(crate) usage: u64,
}

/// How much of a heap a process may use without a report: four fifths. The rest is for the driver
/// and for other processes.
pub(crate) const fn share(heap_size: u64) -> u64 {
    heap_size - heap_size / 5
}

/// The budget of a heap, according to a report. Drivers have reported 0, and more than the heap
/// size.
pub(crate) const fn budget_of(heap_size: u64, report: Report) -> u64 {
    match report.budget {
        0 => share(heap_size),
        budget if budget > heap_size => heap_size,
        budget => budget,
    }
}

/// How much the allocator may reserve so that the process stays within the budget, given what it
/// had reserved at the time of the report: the budget minus what the process uses outside the
/// allocator.
pub(crate) const fn ceiling(heap_size: u64, report: Report, ours: u64) -> u64 {
    budget_of(heap_size, report).saturating_sub(report.usage.saturating_sub(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_process_uses_besides_counts_against_the_budget() {
        assert_eq!(ceiling(1000, Report { budget: 800, usage: 300 }, 100), 600);
        assert_eq!(ceiling(1000, Report { budget: 800, usage: 100 }, 100), 800);
        assert_eq!(ceiling(1000, Report { budget: 200, usage: 900 }, 100), 0);
    }

    #[test]
    fn nonsense_is_repaired() {
        assert_eq!(ceiling(1000, Report::default(), 0), 800);
        assert_eq!(ceiling(1000, Report { budget: u64::MAX, usage: 0 }, 100), 1000);
        assert_eq!(ceiling(0, Report { budget: 5, usage: u64::MAX }, 0), 0);
    }
}
