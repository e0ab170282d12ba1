//! The state that the clones of an allocator share.

use std::sync::Arc;

use super::inner::Inner;

/// Counts the clones of an allocator; dropping the last one closes it.
pub(super) struct Facade {
    pub(super) inner: Arc<Inner>,
}

impl Drop for Facade {
    fn drop(&mut self) {
        self.inner.close();
        self.inner.end_record();
    }
}
