//! The memory map: every block a bar to scale, every region in the colour of what it is.

use svg::node::element::{Group, Rectangle, Title};

use super::{
    paint::{MARGIN, WIDTH, bytes, paper, rounded, text},
    snapshot::Snapshot,
};
use crate::allocator::{BlockPicture, RegionPicture, RegionState, TenantKind};

const BAR: f64 = 22.0;
const STEP: f64 = 44.0;
/// Regions narrower than this are drawn together, so that the picture stays small however many there
/// are.
const NARROWEST: f64 = 0.75;
/// And narrower than this, if there are more than so many: a browser has to hold them all.
const NARROWEST_OF_MANY: f64 = 4.0;
const MANY: usize = 10_000;

/// What a stretch of a bar shows, and its word in the legend.
const KINDS: [(&str, &str); 5] = [
    ("buffer", "buffer"),
    ("image", "image"),
    ("unknown", "not ours"),
    ("pending", "pending: the GPU may still touch it"),
    ("free", "free"),
];

impl Snapshot {
    /// A picture of all blocks, to scale: one SVG file for any browser, light or dark. The same
    /// snapshot gives the same bytes. Its size depends on the blocks, not on the regions: what is
    /// narrower than a pixel is drawn together.
    ///
    /// Cost: O(regions).
    pub fn to_svg(&self) -> String {
        let mut drawing = Group::new();
        let mut y = MARGIN + 20.0;
        drawing = drawing.add(text(MARGIN, y, &self.device.name).set("class", "title"));
        y += 30.0;
        drawing = drawing.add(legend(y));
        let many = self.blocks().map(|block| block.regions.len()).sum::<usize>() > MANY;
        let narrowest = if many { NARROWEST_OF_MANY } else { NARROWEST };
        let widest = self.blocks().map(|block| block.size).max().unwrap_or(1);
        for (index, heap) in self.heaps.iter().enumerate() {
            y += 40.0;
            let place = if heap.budget.device_local { "the device's" } else { "the host's" };
            let words = format!(
                "Heap {index}, {place}: {} of {} held",
                bytes(heap.budget.reserved),
                bytes(heap.budget.size)
            );
            drawing = drawing.add(text(MARGIN, y, &words).set("class", "heap"));
            y += 8.0;
            for memory_type in &heap.memory_types {
                for set in &memory_type.sets {
                    let owner = if set.is_arena { ", arena" } else { "" };
                    for (number, block) in set.blocks.iter().enumerate() {
                        let title = format!("Type {}{owner}, block {number}", memory_type.index);
                        drawing = drawing.add(bar(block, y, &title, widest, narrowest));
                        y += STEP;
                    }
                }
            }
        }
        paper("Memory map", y + MARGIN).add(drawing).to_string()
    }
}

/// A block: its words, and under them its bar.
fn bar(block: &BlockPicture, y: f64, title: &str, widest: u64, narrowest: f64) -> Group {
    let sum = |state| {
        let regions = block.regions.iter().filter(|region| region.state == state);
        bytes(regions.map(|region| region.size).sum())
    };
    let words = format!(
        "{title}{}: {}, {} live, {} pending",
        if block.dedicated { ", dedicated" } else { "" },
        bytes(block.size),
        sum(RegionState::Used),
        sum(RegionState::Pending),
    );
    let scale = (WIDTH / widest.max(1) as f64).max(120.0 / block.size.max(1) as f64);
    let top = y + 18.0;
    let mut group = Group::new().set("class", "block");
    group = group.add(text(MARGIN, y + 12.0, &words).set("class", "faint"));
    let mut regions = block.regions.iter().peekable();
    while let Some(first) = regions.next() {
        let (mut end, mut count, mut largest) = (first.offset + first.size, 1, first);
        // What is too narrow to see is drawn with its neighbours, as the largest of them.
        while (end - first.offset) as f64 * scale < narrowest {
            let Some(next) = regions.next() else { break };
            (end, count) = (next.offset + next.size, count + 1);
            if next.size > largest.size {
                largest = next;
            }
        }
        let rect = Rectangle::new()
            .set("class", kind_of(largest))
            .set("x", rounded(MARGIN + first.offset as f64 * scale))
            .set("y", top)
            .set("width", rounded((end - first.offset) as f64 * scale))
            .set("height", BAR);
        let told = match count {
            1 => tell(first),
            _ => format!("{count} regions from {}, the largest: {}", first.offset, tell(largest)),
        };
        group = group.add(Group::new().set("class", "region").add(Title::new(told)).add(rect));
    }
    let frame = Rectangle::new()
        .set("class", "frame")
        .set("x", MARGIN)
        .set("y", top)
        .set("width", rounded(block.size as f64 * scale))
        .set("height", BAR);
    group.add(frame)
}

/// A region in a line of words.
fn tell(region: &RegionPicture) -> String {
    let (name, wait) = (name_of(region), wait_of(region));
    format!("{name}: {} at {}{wait}", bytes(region.size), region.offset)
}

/// A region by its name, and what it waits for.
pub(super) fn called(region: &RegionPicture) -> String {
    format!("{}{}", name_of(region), wait_of(region))
}

fn name_of(region: &RegionPicture) -> &'static str {
    region.name.unwrap_or(match region.state {
        RegionState::Free => "free",
        _ => "(unnamed)",
    })
}

fn wait_of(region: &RegionPicture) -> String {
    region.waits.map(|wait| format!(", pending: waits for {wait}")).unwrap_or_default()
}

pub(super) fn kind_of(region: &RegionPicture) -> &'static str {
    match (region.state, region.tenant) {
        (RegionState::Free, _) => "free",
        (RegionState::Pending, _) => "pending",
        (_, TenantKind::Buffer) => "buffer",
        (_, TenantKind::Image) => "image",
        _ => "unknown",
    }
}

fn legend(y: f64) -> Group {
    let mut x = MARGIN;
    let mut group = Group::new().set("class", "legend");
    for (kind, word) in KINDS {
        let swatch = Rectangle::new().set("class", kind).set("x", x).set("y", y - 11.0);
        let swatch = swatch.set("width", 14.0).set("height", 14.0);
        group = group.add(swatch).add(text(x + 20.0, y, word));
        x += 50.0 + 7.2 * word.len() as f64;
    }
    group
}
