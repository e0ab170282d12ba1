//! What a command buffer touches, and the rules between submissions.

use ash::vk;

use super::memory::RangeUse;
use super::object::{Object, Range, Submission};
use super::resource::ResourceId;
use super::state::State;
use super::track::{Busy, Kind, Tracked};
use super::violation::Violation;

/// Something that the GPU touches when a command buffer executes: the argument of
/// [`FakeDriver::record`](super::FakeDriver::record).
#[derive(Clone, Copy, Debug)]
pub struct Use {
    what: What,
    ordered: bool,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Buffer(vk::Buffer),
    Image(vk::Image),
    BufferView(vk::BufferView),
    ImageView(vk::ImageView),
    Sampler(vk::Sampler),
    DescriptorSet(vk::DescriptorSet),
    Barrier,
    Memory { range: Range, owner: Option<u64> },
}

impl Use {
    /// The buffer and all its memory.
    pub fn buffer(buffer: vk::Buffer) -> Use {
        Use::new(What::Buffer(buffer))
    }

    /// The image and all its memory.
    pub fn image(image: vk::Image) -> Use {
        Use::new(What::Image(image))
    }

    /// The view, its image and all its memory.
    pub fn view(view: vk::ImageView) -> Use {
        Use::new(What::ImageView(view))
    }

    /// The view, its buffer and all its memory.
    pub fn buffer_view(view: vk::BufferView) -> Use {
        Use::new(What::BufferView(view))
    }

    /// The sampler.
    pub fn sampler(sampler: vk::Sampler) -> Use {
        Use::new(What::Sampler(sampler))
    }

    /// The set, its pool, and everything that has been written to it by the time of the submission.
    pub fn descriptor_set(set: vk::DescriptorSet) -> Use {
        Use::new(What::DescriptorSet(set))
    }

    /// `size` bytes of a memory, without a resource. Two such uses of exactly the same range have
    /// the same owner, unless [`Use::owner`] gives them different names. Uses of ranges that
    /// overlap partly have different owners.
    pub fn memory(memory: vk::DeviceMemory, offset: u64, size: u64) -> Use {
        Use::new(What::Memory { range: Range { memory, offset, size }, owner: None })
    }

    /// Not a use, but a barrier between all commands before it and all commands after it, for all
    /// memory. `vkCmdPipelineBarrier` with `ALL_COMMANDS` and `MEMORY_WRITE` records the same.
    pub fn barrier() -> Use {
        Use::new(What::Barrier)
    }

    /// Names the owner of a [`Use::memory`], for example by the serial of an allocation, so that
    /// the test detects a range that was given to another owner too early.
    #[must_use]
    pub fn owner(mut self, name: u64) -> Use {
        if let What::Memory { owner, .. } = &mut self.what {
            *owner = Some(name);
        }
        self
    }

    /// Declares that semaphores or barriers order this use after all earlier uses of the bytes, so
    /// that it may overlap uses by other owners.
    #[must_use]
    pub fn ordered(mut self) -> Use {
        self.ordered = true;
        self
    }

    fn new(what: What) -> Use {
        Use { what, ordered: false }
    }
}

/// An object that a pending submission uses.
#[derive(Clone, Copy)]
pub(super) enum Touched {
    Resource(ResourceId),
    Memory(vk::DeviceMemory),
    Range(vk::DeviceMemory, RangeUse),
    BufferView(vk::BufferView),
    ImageView(vk::ImageView),
    Sampler(vk::Sampler),
    Set(vk::DescriptorSet),
    Pool(vk::DescriptorPool),
    Commands(vk::CommandBuffer),
    Pipeline(vk::Pipeline),
    Fence(vk::Fence),
    Semaphore(vk::Semaphore),
}

/// A submission in progress: its identity, and the objects that it touches so far.
pub(super) struct Touch<'a> {
    pub(super) submission: Submission,
    pub(super) touched: &'a mut Vec<Touched>,
    ordered: bool,
}

impl State {
    /// Resolves a use to the objects behind it, checks them, and adds them to `touched`.
    pub(super) fn touch(&mut self, submission: Submission, used: &Use, touched: &mut Vec<Touched>) {
        let touch = &mut Touch { submission, touched, ordered: used.ordered };
        match used.what {
            What::Buffer(h) => self.touch_resource(touch, ResourceId::Buffer(h), Object::of(h)),
            What::Image(h) => self.touch_resource(touch, ResourceId::Image(h), Object::of(h)),
            What::BufferView(h) => self.touch_buffer_view(touch, h, Object::of(h)),
            What::ImageView(h) => self.touch_image_view(touch, h, Object::of(h)),
            What::Sampler(h) => self.touch_sampler(touch, h, Object::of(h)),
            What::DescriptorSet(h) => self.touch_set(touch, h),
            What::Barrier => {
                self.order_after(submission.queue, submission.queue, submission.number - 1);
            }
            What::Memory { range, owner } => self.touch_range(touch, range, owner),
        }
    }

    pub(super) fn touch_dead(&mut self, touch: &Touch<'_>, object: Object, via: Object) {
        self.report(Violation::SubmitDead { submission: touch.submission, object, via });
    }

    pub(super) fn touch_buffer_view(
        &mut self,
        touch: &mut Touch<'_>,
        h: vk::BufferView,
        via: Object,
    ) {
        let object = Object::of(h);
        let Some(buffer) = self.buffer_views.get(h).map(|view| view.of) else {
            return self.touch_dead(touch, object, via);
        };
        touch.touched.push(Touched::BufferView(h));
        self.touch_resource(touch, ResourceId::Buffer(buffer), object);
    }

    pub(super) fn touch_image_view(
        &mut self,
        touch: &mut Touch<'_>,
        h: vk::ImageView,
        via: Object,
    ) {
        let object = Object::of(h);
        let Some(image) = self.image_views.get(h).map(|view| view.of) else {
            return self.touch_dead(touch, object, via);
        };
        touch.touched.push(Touched::ImageView(h));
        self.touch_resource(touch, ResourceId::Image(image), object);
    }

    pub(super) fn touch_sampler(&mut self, touch: &mut Touch<'_>, h: vk::Sampler, via: Object) {
        if self.samplers.get(h).is_none() {
            return self.touch_dead(touch, Object::of(h), via);
        }
        touch.touched.push(Touched::Sampler(h));
    }

    pub(super) fn touch_resource(&mut self, touch: &mut Touch<'_>, id: ResourceId, via: Object) {
        let (object, submission) = (id.object(), touch.submission);
        let Some(resource) = self.resource(id) else {
            return self.touch_dead(touch, object, via);
        };
        let size = resource.requirements.size;
        let Some((memory, offset)) = resource.bound else {
            return self.report(Violation::SubmitUnbound { submission, resource: object });
        };
        let Some(found) = self.memories.get(memory) else {
            return self.touch_dead(touch, Object::of(memory), object);
        };
        if !touch.ordered && (found.aliased || !found.ranges.is_empty()) {
            self.check_overlap(touch, Range { memory, offset, size }, Some(id), None);
        }
        touch.touched.push(Touched::Resource(id));
        touch.touched.push(Touched::Memory(memory));
    }

    fn touch_range(&mut self, touch: &mut Touch<'_>, range: Range, owner: Option<u64>) {
        let (submission, object) = (touch.submission, Object::of(range.memory));
        let Some(found) = self.memories.get(range.memory) else {
            return self.touch_dead(touch, object, object);
        };
        let Some(end) = range.offset.checked_add(range.size).filter(|end| *end <= found.size)
        else {
            return self.report(Violation::SubmitOutOfRange { submission, range });
        };
        let used = RangeUse { start: range.offset, end, owner, submission };
        if !touch.ordered {
            self.check_overlap(touch, range, None, Some(used));
        }
        touch.touched.push(Touched::Memory(range.memory));
        touch.touched.push(Touched::Range(range.memory, used));
    }

    /// Checks whether pending submissions use the range through another owner than this resource or
    /// plain range. If aliasing is allowed, a submission on the same queue may, because the queue
    /// orders it. If order is judged, a submission may if a barrier or a wait puts it before.
    fn check_overlap(
        &mut self,
        touch: &Touch<'_>,
        range: Range,
        resource: Option<ResourceId>,
        plain: Option<RangeUse>,
    ) {
        let Some(memory) = self.memories.get(range.memory) else { return };
        let submission = touch.submission;
        let (start, end) = (range.offset, range.offset.saturating_add(range.size));
        let after = self.queues.get(submission.queue as usize).map_or(&[][..], |q| &q.after);
        let conflicts = |earlier: Submission| match () {
            () if self.judges_order => {
                after.get(earlier.queue as usize).is_none_or(|&last| earlier.number > last)
            }
            () if self.aliasing => earlier.queue != submission.queue,
            () => true,
        };
        let conflict = |busy: &Busy| busy.all().find(|&earlier| conflicts(earlier));
        // Resources of the other kind conflict on the whole page.
        let linear = resource.and_then(|id| Some(self.resource(id)?.linear));
        let page = self.profile.page();
        let reach = |of_linear: usize| {
            let is_other = linear.is_some_and(|linear| usize::from(linear) != of_linear);
            match self.judges_order && is_other {
                true => (start / page * page, end.div_ceil(page).saturating_mul(page)),
                false => (start, end),
            }
        };
        let resources = memory
            .bound
            .iter()
            .enumerate()
            .flat_map(|(of_linear, segments)| {
                let (from, to) = reach(of_linear);
                segments.overlapping(from, to)
            })
            .filter(|(_, _, other)| resource != Some(*other))
            .filter_map(|(_, _, other)| {
                let found = self.resource(other).filter(|found| !found.overlay)?;
                Some((other.object(), conflict(&found.busy)?))
            });
        let ranges = memory
            .ranges
            .overlapping(start, end)
            .filter(|(_, _, other)| plain.is_none_or(|plain| !plain.same_owner(other)))
            .filter(|(_, _, other)| conflicts(other.submission))
            .map(|(_, _, other)| (Object::of(range.memory), other.submission));
        let found = resources.chain(ranges).find(|(_, earlier)| *earlier != submission);
        if let Some((other, earlier)) = found {
            self.report(Violation::SubmitOverlap { submission, range, other, earlier });
        }
    }

    /// Marks an object as used by a submission.
    pub(super) fn enter(&mut self, submission: Submission, object: &Touched) {
        if let Touched::Range(memory, used) = object {
            if let Some(found) = self.memories.get_mut(*memory) {
                found.ranges.insert(used.start, used.end, *used);
            }
        } else if let Some(busy) = self.busy(object) {
            busy.enter(submission);
        }
    }

    /// Undoes [`State::enter`].
    pub(super) fn leave(&mut self, submission: Submission, object: &Touched) {
        if let Touched::Range(memory, used) = object {
            if let Some(found) = self.memories.get_mut(*memory) {
                found.ranges.remove(used.start, used.end, *used);
            }
        } else if let Some(busy) = self.busy(object) {
            busy.leave(submission.queue);
        }
        if let Touched::Commands(commands) = object {
            self.commands_done(*commands);
        }
    }

    fn busy(&mut self, object: &Touched) -> Option<&mut Busy> {
        fn of<K: Kind>(state: &mut State, handle: K) -> Option<&mut Busy> {
            K::slab(state).get_mut(handle).map(Tracked::busy)
        }
        match *object {
            Touched::Resource(ResourceId::Buffer(h)) => of(self, h),
            Touched::Resource(ResourceId::Image(h)) => of(self, h),
            Touched::Memory(h) => of(self, h),
            Touched::Range(..) => None,
            Touched::BufferView(h) => of(self, h),
            Touched::ImageView(h) => of(self, h),
            Touched::Sampler(h) => of(self, h),
            Touched::Set(h) => of(self, h),
            Touched::Pool(h) => of(self, h),
            Touched::Commands(h) => self.commands.get_mut(&h).map(Tracked::busy),
            Touched::Pipeline(h) => of(self, h),
            Touched::Fence(h) => of(self, h),
            Touched::Semaphore(h) => of(self, h),
        }
    }
}
