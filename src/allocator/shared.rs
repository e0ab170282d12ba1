//! The state that a timeline and its recordings share.

use std::sync::Arc;

use ash::vk;

use super::{
    inner::{Inner, Life},
    sync::Sync,
    turn::Turn,
};
use crate::retire::TimelineId;

/// The state that a timeline and its recordings share.
pub(super) struct Shared {
    pub(super) inner: Arc<Inner>,
    pub(super) id: TimelineId,
    pub(super) queue: vk::Queue,
    pub(super) sync: Arc<Sync>,
    /// Serialises submissions, so that values rise in submission order.
    pub(super) turn: Turn,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.inner.with_register(|register| register.give_up(self.id));
        if self.inner.life() == Life::Closed {
            self.inner.finish_pending();
        }
    }
}
