//! `xalloc`: TLSF with its records outside the arena. It counts granules in 32 bits, and frees are
//! unchecked.

use xalloc::{SysTlsf, SysTlsfRegion};

use crate::subject::{Placed, Subject, granule};

/// `xalloc::SysTlsf`.
pub struct Xalloc {
    tlsf: SysTlsf<u32>,
    shift: u32,
}

impl Subject for Xalloc {
    const NAME: &'static str = "xalloc";
    type Handle = SysTlsfRegion;

    fn new(bytes: u64, _live: usize) -> Option<Self> {
        let shift = granule(bytes).trailing_zeros();
        Some(Self { tlsf: SysTlsf::new((bytes >> shift) as u32), shift })
    }

    #[inline]
    fn allocate(&mut self, size: u64, alignment: u64) -> Option<Placed<SysTlsfRegion>> {
        let size = ((size - 1) >> self.shift) as u32 + 1;
        let mask = ((alignment - 1) >> self.shift) as u32;
        let (handle, offset) = match self.tlsf.alloc_aligned(size, mask + 1) {
            Some(placed) => placed,
            // Its search for an aligned place gives up although there is room above, if the row of
            // the size with maximal padding has no hole left. In this case the request is repeated
            // with the padding.
            None if mask != 0 => {
                let (handle, offset) = self.tlsf.alloc(size + mask)?;
                (handle, (offset + mask) & !mask)
            }
            None => return None,
        };
        Some(Placed { handle, offset: u64::from(offset) << self.shift })
    }

    #[inline]
    fn free(&mut self, handle: SysTlsfRegion) {
        // SAFETY: the region came from this allocator, and its handle is moved in, so it is freed once.
        unsafe { self.tlsf.dealloc_unchecked(handle) }
    }
}
