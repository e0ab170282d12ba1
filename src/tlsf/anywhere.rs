//! The last search before a refusal: it looks at every free region, however long that takes.

use super::Tlsf;
use super::class::bin_of;
use super::error::AllocateError;
use super::pairs::nodes_of;
use super::region::Placed;
use super::search::{Found, Request, View};

impl Tlsf {
    /// As [`allocate_exact`](Self::allocate_exact), but it is refused only if no free region holds
    /// the request. [`allocate`](Self::allocate) may miss such a region if the alignment requires
    /// padding. Use this as the last resort before a failure.
    ///
    /// O(free regions that have the size).
    ///
    /// ```
    /// use fencepost::tlsf::{AllocateError, Config, Tlsf};
    ///
    /// let mut tlsf = Tlsf::new(&Config::new(64 << 10, 16))?;
    /// // All is taken; then holes of 4 KiB, of which only the last is aligned.
    /// let pages: Vec<_> = [2048, 4096, 4096, 4096, 2048, 4096, 45056]
    ///     .into_iter()
    ///     .map(|size| tlsf.allocate(size, 16).map(|placed| placed.key))
    ///     .collect::<Result<_, _>>()?;
    /// for hole in [5, 3, 1] {
    ///     tlsf.free(pages[hole])?;
    /// }
    /// assert!(matches!(tlsf.allocate(4096, 4096), Err(AllocateError::Full { .. })));
    /// assert!(!tlsf.holds(4096, 4096) && tlsf.holds_anywhere(4096, 4096));
    /// assert_eq!(tlsf.allocate_anywhere(4096, 4096)?.offset, 16384);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate). [`Full`](AllocateError::Full) then holds for every free
    /// region.
    pub fn allocate_anywhere(
        &mut self,
        size: u64,
        alignment: u64,
    ) -> Result<Placed, AllocateError> {
        let request = self.request(size, alignment)?;
        let found = self.view().find_anywhere(request);
        self.give_or_refuse(found.map(|found| (request, found)))
    }

    /// Whether [`allocate_anywhere`](Self::allocate_anywhere) would find a free region now. O(free regions that
    /// have the size).
    pub fn holds_anywhere(&self, size: u64, alignment: u64) -> bool {
        let request = self.request(size, alignment);
        request.is_ok_and(|request| self.view().find_anywhere(request).is_some())
    }
}

impl View<'_> {
    /// A free region for the request, if there is one. The search starts at the bin of its size.
    fn find_anywhere(&self, request: Request) -> Option<Found> {
        let mut bin = bin_of(request.size);
        loop {
            bin = self.bitmaps.first_from(bin)?;
            let nodes = nodes_of(self.pairs, bin);
            let mut fitting =
                nodes.filter_map(|node| self.fits(request, node).map(|padding| (node, padding)));
            if let Some((node, padding)) = fitting.next() {
                return Some(Found { node, bin, padding });
            }
            bin += 1;
        }
    }
}
