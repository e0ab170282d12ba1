//! A witness detects that a range is reused too early. It writes to each resource when it is
//! created, and reads it back when it is dropped, in the order of the GPU's work.

use ash::vk;
use fencepost::Dependency;

use super::resource::Resource;
use super::stop::Stop;

/// Handles the batches of one queue. A batch contains everything between two submissions. On the
/// GPU its writes come first and its checks last, so a range that passed from a dropped resource to
/// a new one within the batch is detected: the words of the new resource are written before those
/// of the old one are checked.
pub(crate) trait Witness {
    /// Whether the open batch has room for this resource; an empty batch always has.
    fn has_room(&self, resource: &Resource) -> bool;

    /// Orders the following writes after their dependency, which is on the same queue.
    fn order(&mut self, dependency: &Dependency) -> Result<(), Stop>;

    /// Writes the words of the resource in the open batch.
    fn write(&mut self, id: u32, resource: &mut Resource) -> Result<(), Stop>;

    /// Checks the words of the resource in the open batch. The resource may be dropped afterwards.
    fn check(&mut self, id: u32, resource: &Resource) -> Result<(), Stop>;

    /// Ends the open batch and opens another. The caller submits the returned command buffers in
    /// this order: those that write, and those that check.
    fn end(&mut self) -> Result<[Option<vk::CommandBuffer>; 2], Stop>;

    /// Takes the oldest batch that was ended, which the GPU has completed.
    fn judge(&mut self) -> Result<(), Stop>;

    /// The results so far.
    fn verdict(&self) -> &Verdict;
}

/// The results of a witness.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// The number of words that were read back and compared. Over the fake driver: the number of
    /// declared uses.
    pub(crate) verified: u64,
    /// The number of words that differ from what the owner of the resource wrote.
    pub(crate) mismatches: u64,
    /// The first of them, as a sentence.
    pub(crate) first: Option<String>,
}
