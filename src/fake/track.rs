//! Which pending submissions use an object, and the operations that all kinds of objects have in
//! common.

use ash::vk;
use smallvec::SmallVec;

use super::call::Call;
use super::object::{Object, Submission};
use super::slab::Slab;
use super::state::State;
use super::violation::Violation;

/// The pending uses of one object, counted per queue.
#[derive(Default)]
pub(super) struct Busy(SmallVec<[Hold; 1]>);

struct Hold {
    count: u32,
    last: Submission,
}

impl Busy {
    pub(super) fn enter(&mut self, submission: Submission) {
        match self.0.iter_mut().find(|hold| hold.last.queue == submission.queue) {
            Some(hold) => {
                hold.count += 1;
                hold.last = submission;
            }
            None => self.0.push(Hold { count: 1, last: submission }),
        }
    }

    pub(super) fn leave(&mut self, queue: u32) {
        if let Some(index) = self.0.iter().position(|hold| hold.last.queue == queue) {
            if let Some(hold) = self.0.get_mut(index) {
                hold.count = hold.count.saturating_sub(1);
                if hold.count == 0 {
                    self.0.swap_remove(index);
                }
            }
        }
    }

    /// A pending submission that uses the object.
    pub(super) fn any(&self) -> Option<Submission> {
        self.0.first().map(|hold| hold.last)
    }

    /// The last pending submission of each queue that uses the object.
    pub(super) fn all(&self) -> impl Iterator<Item = Submission> {
        self.0.iter().map(|hold| hold.last)
    }
}

/// A type with a [`Busy`].
pub(super) trait Tracked {
    fn busy(&mut self) -> &mut Busy;
}

impl Tracked for Busy {
    fn busy(&mut self) -> &mut Busy {
        self
    }
}

macro_rules! tracked {
    ($($type:ty),+ $(,)?) => {
        $(impl $crate::fake::track::Tracked for $type {
            fn busy(&mut self) -> &mut $crate::fake::track::Busy {
                &mut self.busy
            }
        })+
    };
}
pub(super) use tracked;

/// A kind of object: the type of its handle, where the live ones are stored, and how one is
/// destroyed.
pub(super) trait Kind: vk::Handle + Copy + 'static {
    type Value: Tracked + 'static;
    const DESTROY: Call;

    fn slab(state: &mut State) -> &mut Slab<Self, Self::Value>;

    /// Undoes the effects of the object on the rest of the state.
    fn removed(_state: &mut State, _handle: Self, _value: Self::Value) {}
}

impl State {
    /// Adds an object.
    pub(super) fn create<K: Kind>(&mut self, value: K::Value) -> Result<K, vk::Result> {
        K::slab(self).insert(value).ok_or(vk::Result::ERROR_OUT_OF_HOST_MEMORY)
    }

    /// Destroys an object. Null is ignored.
    pub(super) fn destroy<K: Kind>(&mut self, handle: K) {
        if handle.is_null() {
            return;
        }
        let (call, object) = (K::DESTROY, Object::of(handle));
        match K::slab(self).remove(handle) {
            None => self.report(Violation::Unknown { call, object }),
            Some(mut value) => {
                if let Some(submission) = value.busy().any() {
                    self.report(Violation::InUse { call, object, submission });
                }
                K::removed(self, handle, value);
            }
        }
    }

    /// The object; reports a violation if there is none.
    pub(super) fn find<K: Kind>(&mut self, call: Call, handle: K) -> Option<&mut K::Value> {
        if K::slab(self).get(handle).is_none() {
            self.report(Violation::Unknown { call, object: Object::of(handle) });
        }
        K::slab(self).get_mut(handle)
    }

    /// Reports a violation if a pending submission uses the object.
    pub(super) fn check_idle<K: Kind>(&mut self, call: Call, handle: K) {
        let submission = K::slab(self).get_mut(handle).and_then(|value| value.busy().any());
        if let Some(submission) = submission {
            let object = Object::of(handle);
            self.report(Violation::InUse { call, object, submission });
        }
    }
}
