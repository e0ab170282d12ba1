//! Finds the nodes of used regions by their places.
#![forbid(unsafe_code)]

use crate::tlsf::{Noted, Tlsf};

/// Finds a used region by the place of its node.
pub(super) trait Nodes {
    /// The used region whose node is at a place, if there is one. There is none at 0, or from 2³¹ on.
    fn used(&self, place: u32) -> Option<Noted>;
}

impl Nodes for Tlsf {
    #[inline(always)]
    fn used(&self, place: u32) -> Option<Noted> {
        self.noted(place)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// Where each node begins, by the index of its place. There is no node at index 0.
    impl Nodes for Vec<u32> {
        fn used(&self, place: u32) -> Option<Noted> {
            if place % Tlsf::PLACES != 0 {
                return None;
            }
            let start = *self.get((place / Tlsf::PLACES) as usize)?;
            (start != u32::MAX).then(|| Noted::nowhere(place, start))
        }
    }
}
