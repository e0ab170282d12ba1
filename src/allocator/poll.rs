//! Reading the GPU's progress: every busy timeline is read once, with no lock held.

use std::sync::Arc;

use super::{
    inner::{Inner, Life},
    register::{Polled, Register},
    sync::Sync,
};
use crate::retire::Reached;

impl Inner {
    /// Reads every busy timeline once, and returns the GPU's progress. Takes the register's lock
    /// twice, briefly; the reads happen in between.
    pub(super) fn poll(&self) -> Reached {
        if self.life() == Life::ShutDown {
            return self.with_register(|register| register.cuts().reached());
        }
        let mut polled = Polled::new();
        self.register().begin_poll(&mut polled);
        if self.is_lost() {
            // Everything is reached: nothing is read, but finished timelines still end.
            polled.clear();
        }
        for read in &mut polled {
            // SAFETY: the device contract; the poll is over below.
            match unsafe { read.counter.read(&self.vulkan) } {
                Ok(value) => read.value = Some(value),
                Err(ash::vk::Result::ERROR_DEVICE_LOST) => {
                    self.lose();
                    break;
                }
                Err(error) => {
                    tracing::warn!(target: crate::events::WAITING, %error, "a timeline could not be read");
                }
            }
        }
        let mut jump = None;
        let mut finished = Vec::new();
        let reached = self.with_register(|register| {
            for read in &polled {
                if let Some(value) = read.value {
                    jump = register.signalled(read.timeline, value).or(jump);
                }
            }
            register.end_poll(&mut finished);
            register.cuts().reached()
        });
        finished.into_iter().for_each(|sync| self.destroy_sync(sync));
        if let Some(jump) = jump {
            self.report_finding(jump);
        }
        reached
    }

    /// Destroys a sync object once its last holder, possibly a waiting thread, has released it.
    fn destroy_sync(&self, sync: Arc<Sync>) {
        match Arc::try_unwrap(sync) {
            // SAFETY: the device contract; its timeline is given up and idle, and nobody holds it.
            Ok(sync) => unsafe { sync.destroy(&self.vulkan) },
            Err(held) => self.with_register(|register: &mut Register| register.linger(held)),
        }
    }
}
