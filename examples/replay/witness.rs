//! What sees that no range is reused too early: it writes each resource when it is made and reads
//! it back when it is dropped, on the GPU's own time line.

use ash::vk;
use fencepost::Dependency;

use super::resource::Resource;
use super::stop::Stop;

/// Sees to one queue's batches. A batch is all between two submits. On the GPU its writes come
/// first and its checks last, so a range that went from a dropped resource to a new one within the
/// batch is found: the new one's words are there before the old one's are checked.
pub(crate) trait Witness {
    /// Whether the open batch takes this resource too; an empty one takes any.
    fn has_room(&self, resource: &Resource) -> bool;

    /// Puts what is written next behind what it has to wait for, which is of the same queue.
    fn order(&mut self, dependency: &Dependency) -> Result<(), Stop>;

    /// Writes the resource's words, in the open batch.
    fn write(&mut self, id: u32, resource: &mut Resource) -> Result<(), Stop>;

    /// Checks the resource's words, in the open batch. The resource may be dropped after.
    fn check(&mut self, id: u32, resource: &Resource) -> Result<(), Stop>;

    /// Ends the open batch and opens another. The caller submits what is returned, in this order:
    /// the commands that write, and those that check.
    fn end(&mut self) -> Result<[Option<vk::CommandBuffer>; 2], Stop>;

    /// Takes back the oldest batch that was ended: the GPU has done it.
    fn judge(&mut self) -> Result<(), Stop>;

    /// What was seen so far.
    fn verdict(&self) -> &Verdict;
}

/// What a witness saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Words that were read back and compared. Over the fake driver: uses that were declared.
    pub(crate) verified: u64,
    /// Words that were not what the resource's owner wrote.
    pub(crate) mismatches: u64,
    /// The first of them, as a sentence.
    pub(crate) first: Option<String>,
}
