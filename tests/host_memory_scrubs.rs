//! The host has no memory while the GPU maintains guards: a scrub or a request is refused and
//! nothing has changed, or it succeeds nevertheless. No range is handed out unchecked.

#[path = "support/counting.rs"]
mod counting;
mod support;
#[path = "support/world.rs"]
mod world;

use counting::{exempt, short_of_memory, without_the_next};
use fencepost::{
    AllocateError, Allocation, Arena, ArenaPolicy, Corruption, GuardPolicy, GuardedBy,
    ResourceKind, Scrub, ScrubError,
    fake::{FakeDriver, Profile},
};
use world::*;

const POLICIES: [GuardPolicy; 4] =
    [GuardPolicy::Margins, GuardPolicy::Poison, GuardPolicy::Full, GuardPolicy::Zero];

const PLACES: [ArenaPolicy; 3] = [ArenaPolicy::Tlsf, ArenaPolicy::Ring, ArenaPolicy::DoubleStack];

const MANY: usize = 20;

/// A world in which something waits for each step of a scrub. One damage waits to be found where the policy finds any.
struct Due {
    world: World,
    arena: Arena,
    live: Vec<Allocation>,
}

impl Due {
    fn new(policy: GuardPolicy, placed: ArenaPolicy) -> Self {
        exempt(FakeDriver::is_inside);
        let world = World::on(&Profile::default(), policy, |it| it.quarantine(1));
        // The timeline's own queues have their size.
        let frames: Vec<_> = (0..8).map(|_| world.timeline.begin().unwrap()).collect();
        frames.into_iter().for_each(|frame| _ = support::submit_nothing(frame).unwrap());
        world.fake.run();
        world.allocator.collect();
        let arena = arena(&world.allocator, |it| it.policy(placed));
        let take = |name| in_arena(&arena, name, 1000);
        let victim = take("victim");
        assert_eq!(world.scrub(Scrub::Due), []);
        let mut gone: Vec<_> = (0..MANY).map(|_| take("gone")).collect();
        // In quarantine; and ended, of which the victim is one, with a damage.
        let ended = gone.split_off(MANY / 2);
        drop(gone);
        assert_eq!(world.scrub(Scrub::Due), []);
        world.scribble(&victim, if margins(policy) { 1000 } else { 0 }, 1);
        drop((ended, victim));
        let live = (0..MANY).map(|_| take("live")).collect();
        world.fake.run();
        world.allocator.collect();
        world.allocator.check().unwrap();
        Self { world, arena, live }
    }

    /// What is where, and who waits for what; what is counted; what scrubs did.
    fn state(&self) -> (String, [u64; 5], String) {
        let allocator = &self.world.allocator;
        let snapshot = allocator.snapshot();
        let regions = snapshot.blocks().flat_map(|block| &block.regions);
        let regions = regions.map(|it| (it.state, it.offset, it.size, it.name, it.waits));
        let blocks = format!("{:?}", regions.collect::<Vec<_>>());
        let total = allocator.statistics().total;
        let counts = [total.live, total.live_count, total.pending, total.pending_count, total.free];
        let scrubs = format!("{:?} {:?}", allocator.guard_coverage(), allocator.scrubbed());
        (blocks, counts, scrubs)
    }

    /// With memory all is found and comes back.
    fn end(self, policy: GuardPolicy) {
        let Self { world, arena, live } = self;
        let mut found = world.allocator.check_guards();
        found.extend(world.scrub(Scrub::Everything));
        assert_eq!(found.iter().map(name).collect::<Vec<_>>(), told(policy));
        drop(live);
        (0..4).for_each(|_| assert_eq!(world.scrub(Scrub::Due), []));
        assert_eq!(world.allocator.statistics().total.pending, 0);
        drop(arena);
        world.end();
    }
}

fn margins(policy: GuardPolicy) -> bool {
    matches!(policy, GuardPolicy::Margins | GuardPolicy::Full)
}

/// Who is told of the damage.
fn told(policy: GuardPolicy) -> Vec<Option<&'static str>> {
    if margins(policy) { vec![Some("victim")] } else { vec![] }
}

/// The heap refuses the k-th request of a scrub, for every k.
#[test]
fn a_scrub_without_memory_is_refused_and_all_is_due_as_before() {
    for (policy, placed) in POLICIES.into_iter().flat_map(|it| PLACES.map(|at| (it, at))) {
        for extent in [Scrub::Due, Scrub::Everything] {
            let context = |granted: u64| format!("{policy:?} {placed:?} {extent:?} {granted}");
            let mut refusals = 0;
            for granted in 0.. {
                let due = Due::new(policy, placed);
                let before = due.state();
                let (done, refused) = without_the_next(granted, || due.world.try_scrub(extent));
                due.world.allocator.check().unwrap();
                match done {
                    Ok(point) => assert!(point.is_some(), "{}", context(granted)),
                    Err(error) => {
                        let no_memory = ScrubError::Memory(AllocateError::OutOfHostMemory);
                        assert_eq!((error, refused), (no_memory, true), "{}", context(granted));
                        assert_eq!(due.state(), before, "{}", context(granted));
                        refusals += 1;
                    }
                }
                due.world.fake.run();
                due.world.allocator.collect();
                due.end(policy);
                if !refused {
                    assert!(done.is_ok(), "the control");
                    break;
                }
            }
            assert!(refusals > 5, "{}: {refusals}", context(refusals));
        }
    }
}

/// The heap refuses the k-th request of the collect that takes a scrub back, for every k; or all of them.
#[test]
fn a_scrub_that_was_passed_is_taken_back_without_memory() {
    for (policy, placed) in POLICIES.into_iter().flat_map(|it| PLACES.map(|at| (it, at))) {
        for (extent, granted) in [Scrub::Due, Scrub::Everything]
            .into_iter()
            .flat_map(|extent| (0..4).map(move |granted| (extent, granted)))
        {
            let due = Due::new(policy, placed);
            let world = &due.world;
            world.try_scrub(extent).unwrap().unwrap();
            world.fake.run();
            let collect = || world.allocator.collect();
            let collected = match granted {
                0 => short_of_memory(0, collect).0,
                _ => without_the_next(granted - 1, collect).0,
            };
            let freed = collected.allocations > 0;
            let rests = matches!(policy, GuardPolicy::Poison | GuardPolicy::Full);
            assert_eq!(freed, extent == Scrub::Everything || !rests, "{policy:?} {placed:?}");
            world.allocator.check().unwrap();
            // What was found without memory is lost, and all the rest is as ever.
            let mut found = world.allocator.check_guards();
            found.extend(world.scrub(Scrub::Everything));
            found.dedup();
            let told = told(policy);
            let names: Vec<_> = found.iter().map(name).collect();
            assert!(names == told || names.is_empty() && granted < 3, "{policy:?} {granted}");
            due.end(GuardPolicy::Zero);
        }
    }
}

/// What ends needs no memory: there has been a place for it since it was handed out.
#[test]
fn an_end_needs_no_memory() {
    for (policy, placed) in POLICIES.into_iter().flat_map(|it| PLACES.map(|at| (it, at))) {
        for at_once in [false, true] {
            let Due { world, arena, mut live } = Due::new(policy, placed);
            let frame = world.timeline.begin().unwrap();
            let bags = live.split_off(MANY / 2);
            // Their bag has its size, which is not the guards'.
            if !at_once {
                drop(live);
                live = bags;
                support::submit_nothing(frame).unwrap();
                world.fake.run();
            } else {
                // SAFETY: nothing was recorded.
                unsafe { frame.abandon() };
                live.extend(bags);
            }
            let ((), times) = short_of_memory(0, || match at_once {
                // SAFETY: nothing was ever submitted that uses them.
                true => live.drain(..).for_each(|one| unsafe { one.free_now() }),
                false => _ = world.allocator.collect_all(),
            });
            // The points of reports are left out without memory.
            assert!(times == 0 || !at_once, "{policy:?} {placed:?}: {times}");
            world.allocator.check().unwrap();
            drop(live);
            (0..4).for_each(|_| _ = world.scrub(Scrub::Due));
            assert_eq!(world.allocator.statistics().total.pending, 0, "{policy:?} {placed:?}");
            drop(arena);
            world.end();
        }
    }
}

/// The heap refuses the k-th request of each allocation: who is not to be watched does not get it.
#[test]
fn nothing_is_handed_out_that_cannot_be_watched() {
    for (policy, placed) in POLICIES.into_iter().flat_map(|it| PLACES.map(|at| (it, at))) {
        let due = Due::new(policy, placed);
        let (world, arena) = (&due.world, &due.arena);
        let take = || arena.allocate(&needs(100), ResourceKind::Linear, &coherent("more"));
        let mut more = Vec::with_capacity(1000);
        let mut refusals = 0;
        for _ in 0..300 {
            for granted in 0.. {
                let before = due.state();
                let (made, refused) = without_the_next(granted, take);
                world.allocator.check().unwrap();
                match made {
                    Ok(one) => more.push(one),
                    Err(error) => {
                        assert_eq!((error, refused), (AllocateError::OutOfHostMemory, true));
                        assert_eq!(due.state(), before, "{policy:?} {placed:?}");
                        refusals += 1;
                    }
                }
                if !refused {
                    break;
                }
            }
        }
        assert!(refusals > 0, "{policy:?} {placed:?}");
        let found = world.scrub(Scrub::Due);
        assert_eq!(found.iter().map(name).collect::<Vec<_>>(), told(policy));
        if margins(policy) {
            more.iter().for_each(|one| world.scribble(one, 100, 1));
        }
        drop(more);
        let found = world.scrub(Scrub::Due);
        assert!(found.iter().all(|one| name(one) == Some("more")));
        assert!(!margins(policy) || found.len() > 300, "each is watched: {}", found.len());
        due.end(GuardPolicy::Zero);
    }
}

/// The host keeps guards: where there is no memory for a list of what rests, or of a line's regions, less is looked at, and
/// the rest by the next look.
#[test]
fn a_look_without_memory_looks_at_less_and_the_next_at_all() {
    for placed in PLACES {
        for granted in 0.. {
            let world = World::on(&Profile::default(), GuardPolicy::Full, |it| {
                it.guarded_by(GuardedBy::Host).quarantine(1000)
            });
            let arena = arena(&world.allocator, |it| it.policy(placed));
            let [first, rests, live] =
                ["first", "rests", "live"].map(|it| in_arena(&arena, it, 1000));
            let (memory, offset) = (rests.memory(), rests.offset());
            drop(rests);
            assert!(world.fake.gpu_write(memory, offset + 100, &[9; 4]));
            world.scribble(&live, 1000, 1);
            let (found, refused) = without_the_next(granted, || world.allocator.check_guards());
            let next = world.allocator.check_guards();
            let names = |found: &[Corruption]| found.iter().map(name).collect::<Vec<_>>();
            let all = vec![Some("rests"), Some("live")];
            let wanted = match (granted, placed) {
                // The list of what rests.
                (0, _) => [vec![Some("live")], vec![Some("rests")]],
                // The lists of a line's regions.
                (1 | 2, ArenaPolicy::Ring | ArenaPolicy::DoubleStack) => [vec![], all.clone()],
                // What was found.
                _ if refused => [names(&found), vec![]],
                _ => [all.clone(), vec![]],
            };
            assert_eq!([names(&found), names(&next)], wanted, "{placed:?} {granted}");
            drop((first, live, arena));
            world.end();
            if !refused {
                break;
            }
        }
    }
}
