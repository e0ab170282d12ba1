//! The witness over the fake driver: it declares what each batch uses, and the fake validates it.

use ash::vk;
use fencepost::Dependency;
use fencepost::fake::{FakeDriver, Use};

use super::resource::Resource;
use super::stop::Stop;
use super::witness::{Verdict, Witness};

/// Declares resources as used by the batch that writes them and by the one that checks them. The
/// fake reports a range that is bound or used again while an earlier use of it is pending.
pub(crate) struct Declared {
    fake: FakeDriver,
    writes: Vec<Use>,
    checks: Vec<Use>,
    verdict: Verdict,
}

impl Declared {
    pub(crate) fn new(fake: FakeDriver) -> Self {
        Self { fake, writes: Vec::new(), checks: Vec::new(), verdict: Verdict::default() }
    }
}

fn used(resource: &Resource) -> Use {
    match resource {
        Resource::Buffer { buffer, .. } => Use::buffer(buffer.handle()),
        Resource::Image { image, .. } => Use::image(image.handle()),
    }
}

impl Witness for Declared {
    fn has_room(&self, _: &Resource) -> bool {
        true
    }

    fn order(&mut self, dependency: &Dependency) -> Result<(), Stop> {
        self.writes.extend(dependency.needs_barrier().then(Use::barrier));
        Ok(())
    }

    fn write(&mut self, _: u32, resource: &mut Resource) -> Result<(), Stop> {
        self.writes.push(used(resource));
        Ok(())
    }

    fn check(&mut self, _: u32, resource: &Resource) -> Result<(), Stop> {
        self.checks.push(used(resource));
        Ok(())
    }

    fn end(&mut self) -> Result<[Option<vk::CommandBuffer>; 2], Stop> {
        self.verdict.verified += (self.writes.len() + self.checks.len()) as u64;
        Ok([&mut self.writes, &mut self.checks].map(|uses| {
            let commands = (!uses.is_empty()).then(|| self.fake.record(uses));
            uses.clear();
            commands
        }))
    }

    fn judge(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}
