//! What the clones of an allocator share.

use std::sync::Arc;

use super::inner::Inner;

/// Counts the clones of an allocator; the last one closes.
pub(super) struct Facade {
    pub(super) inner: Arc<Inner>,
}

impl Drop for Facade {
    fn drop(&mut self) {
        self.inner.close();
        self.inner.end_record();
    }
}
