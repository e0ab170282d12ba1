//! How much of a heap may be taken, from what the driver reports or from the heap's size alone.

/// What the driver says about a heap (`VK_EXT_memory_budget`), in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Report {
    /// What the process may use of the heap.
    pub(crate) budget: u64,
    /// What the process uses of it.
    pub(crate) usage: u64,
}

/// What a process may use of a heap of which nothing is reported: four fifths. The rest is for the
/// driver and for other processes.
pub(crate) const fn share(heap_size: u64) -> u64 {
    heap_size - heap_size / 5
}

/// The budget of a heap that a report stands for. Drivers have reported 0, and more than there is.
pub(crate) const fn budget_of(heap_size: u64, report: Report) -> u64 {
    match report.budget {
        0 => share(heap_size),
        budget if budget > heap_size => heap_size,
        budget => budget,
    }
}

/// The most that may be ours for the process to stay within the budget, given what was ours at the
/// time of the report: the budget less what the process uses besides.
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
