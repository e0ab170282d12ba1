//! What a plan says is what is done, as long as nothing comes between.

use fencepost::{
    AllocateError, Allocation, AllocationDesc, Placement, Plan, ResourceKind, fake::Call, vk,
};

use crate::world::World;

/// What a plan says, and what there was then.
pub struct Planned {
    plan: Result<Plan, AllocateError>,
    /// How often the driver was asked for memory.
    asked: u64,
    blocks: Vec<(vk::DeviceMemory, u64)>,
}

impl World {
    /// Asks what would be done in an arena, or in memory types, once all that the GPU has passed is taken back.
    pub fn plan(
        &mut self,
        arena: Option<usize>,
        needs: &vk::MemoryRequirements,
        kind: ResourceKind,
        memory: &AllocationDesc,
    ) -> Planned {
        while self.allocator.collect().more {}
        let before = self.picture();
        let plan = match arena {
            Some(arena) => self.arenas[arena].plan(needs, kind, memory),
            None => self.allocator.plan(needs, kind, memory),
        };
        assert_eq!(self.picture(), before, "{plan:?}");
        Planned { plan, asked: self.fake.calls(Call::AllocateMemory), blocks: self.blocks() }
    }

    fn blocks(&self) -> Vec<(vk::DeviceMemory, u64)> {
        let snapshot = self.allocator.snapshot();
        snapshot.blocks().map(|block| (block.memory, block.size)).collect()
    }

    /// It was done as planned, unless a call of the driver's failed.
    pub fn expect_planned(&mut self, planned: &Planned, made: &Result<Allocation, AllocateError>) {
        let asked = self.fake.calls(Call::AllocateMemory) - planned.asked;
        let new = self.blocks().into_iter().filter(|block| !planned.blocks.contains(block));
        let new: Vec<u64> = new.map(|(_, size)| size).collect();
        let refused = asked as usize > new.len();
        let now = self.blocks();
        let made_way = planned.blocks.iter().any(|block| !now.contains(block));
        let about = || format!("{:?}: {made:?}, {asked} asked, {new:?} new", planned.plan);
        match (planned.plan, made) {
            // What the driver refuses no plan can know, nor what comes free because of that; and where empty blocks
            // went, before more is held than ever or as there were too many, less is held.
            _ if refused || made_way => self.note("planned, and otherwise done"),
            (Ok(plan), Ok(made)) => {
                assert_eq!(made.memory_type(), plan.memory_type, "{}", about());
                match plan.placement {
                    Placement::Block => assert!(new.is_empty(), "{}", about()),
                    Placement::NewBlock { size } => assert_eq!(new, [size], "{}", about()),
                    Placement::Dedicated => assert_eq!(new, [plan.size], "{}", about()),
                    placement => unreachable!("{placement:?}"),
                }
                self.note(match plan.placement {
                    Placement::Block => "planned in a block",
                    Placement::NewBlock { .. } => "planned in a new block",
                    _ => "planned in a memory of its own",
                });
            }
            (Ok(_), Err(_)) => panic!("{}", about()),
            // Empty blocks may have gone.
            (Err(_), Ok(_)) => self.note("refused by a plan alone"),
            (Err(planned), Err(refused)) => {
                let kinds = [planned, *refused].map(|error| core::mem::discriminant(&error));
                assert_eq!(kinds[0], kinds[1], "{}", about());
                self.note("refused as planned");
            }
        }
    }
}
