//! The memory map: every block to scale, and every region in the colour of its kind.
//!
//! One scale applies to the whole picture. A block that is larger than a row continues in the next
//! row, and small blocks stand side by side.

use svg::node::element::{Group, Title};

use super::{
    bars::{KINDS, Scale, bars, share_of},
    paint::{LETTER, MARGIN, WIDTH, bytes, legend, paper, text},
    report::heading,
    snapshot::Snapshot,
};
use crate::allocator::{BlockPicture, MemoryStatistics};

/// The space for the text above the bars of a block, and the gaps below and beside it.
const WORDS: f64 = 16.0;
const BELOW: f64 = 8.0;
const BESIDE: f64 = 6.0;

impl Snapshot {
    /// Draws a picture of all blocks to scale, as one SVG file for any browser, light or dark. The
    /// same snapshot gives the same bytes. Regions that are narrower than a few pixels are drawn
    /// together, as proportions of the height, so the size depends on the number of blocks more
    /// than on the number of regions.
    ///
    /// Cost: O(regions).
    pub fn to_svg(&self) -> String {
        let mut y = MARGIN + 20.0;
        let sum = self.memory_types().flat_map(|memory_type| &memory_type.sets).fold(
            MemoryStatistics::default(),
            |mut sum, set| {
                sum.add(&set.statistics);
                sum
            },
        );
        let scale = Scale::of(self);
        let mut drawing = Group::new()
            .add(text(MARGIN, y, &self.device.name).set("class", "title"))
            .add(text(MARGIN, y + 22.0, &sum.to_string()).set("class", "faint"));
        y += 48.0;
        let (kinds, x) = legend(y, &KINDS);
        let words = format!("a full row is {}", bytes(scale.row_bytes));
        drawing = drawing.add(kinds).add(text(x, y, &words).set("class", "faint"));
        for (index, heap) in self.heaps.iter().enumerate() {
            y += 40.0;
            let place = if heap.budget.device_local { "the device's" } else { "the host's" };
            let words = format!(
                "Heap {index}, {place}: {} of {} held",
                bytes(heap.budget.reserved),
                bytes(heap.budget.size)
            );
            drawing = drawing.add(text(MARGIN, y, &words).set("class", "heap"));
            for memory_type in &heap.memory_types {
                for set in memory_type.sets.iter().filter(|set| !set.blocks.is_empty()) {
                    y += 22.0;
                    let words = heading(memory_type, set);
                    drawing = drawing.add(text(MARGIN, y, &words));
                    y += 6.0;
                    let (blocks, height) = flow(&set.blocks, y, &scale);
                    drawing = drawing.add(blocks);
                    y += height;
                }
            }
        }
        paper("Memory map", y + MARGIN).add(drawing).to_string()
    }
}

/// Places blocks side by side where they fit. Returns the height that they take.
fn flow(blocks: &[BlockPicture], top: f64, scale: &Scale) -> (Group, f64) {
    let mut group = Group::new();
    let (mut x, mut y, mut rows) = (0.0, top, 0);
    for (number, block) in blocks.iter().enumerate() {
        let width = scale.width(block.size);
        let (words, room) = words_of(number, block, width);
        if x > 0.0 && x + width.max(room) > WIDTH + MARGIN {
            (x, y, rows) = (0.0, y + WORDS + scale.height(rows) + BELOW, 0);
        }
        let label = Group::new()
            .add(Title::new(full_words(number, block)))
            .add(text(MARGIN + x, y + 12.0, &words).set("class", "faint"));
        let drawn = bars(block, MARGIN + x, y + WORDS, scale);
        group = group.add(Group::new().set("class", "block").add(label).add(drawn));
        x += width.max(room) + BESIDE;
        rows = rows.max(scale.rows(block.size));
    }
    (group, y + WORDS + scale.height(rows) + BELOW - top)
}

/// The text over a block, as far as there is room, and the room that it takes.
fn words_of(number: usize, block: &BlockPicture, width: f64) -> (String, f64) {
    let full = full_words(number, block);
    let full_room = full.len() as f64 * LETTER;
    if full_room <= width {
        return (full, full_room);
    }
    let live = share_of(block, |kind| !matches!(kind, "pending" | "free"));
    let short = format!("{number}: {}, {live} % live", bytes(block.size));
    let room = short.len() as f64 * LETTER;
    (short, room)
}

fn full_words(number: usize, block: &BlockPicture) -> String {
    use crate::allocator::RegionState::{Pending, Used};
    let sum = |state| {
        let regions = block.regions.iter().filter(|region| region.state == state);
        regions.map(|region| region.size).sum::<u64>()
    };
    let what = if block.dedicated { "dedicated memory" } else { "block" };
    let (live, pending) = (sum(Used), sum(Pending));
    let pending =
        if pending == 0 { String::new() } else { format!(", {} pending", bytes(pending)) };
    format!("{what} {number}: {}, {} live{pending}", bytes(block.size), bytes(live))
}
