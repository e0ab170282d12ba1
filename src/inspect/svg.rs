//! The memory map: every block a bar to scale, every region in the colour of what it is.

use svg::{
    Document,
    node::element::{Definitions, Group, Line, Pattern, Rectangle, Style, Text, Title},
};

use super::snapshot::Snapshot;
use crate::allocator::{BlockPicture, RegionPicture, RegionState, TenantKind};

/// Width of a full bar, in the picture's units.
const WIDTH: f64 = 1160.0;
const MARGIN: f64 = 24.0;
const BAR: f64 = 22.0;
const STEP: f64 = 44.0;
/// Regions narrower than this are drawn together, so that the picture stays small however many there
/// are.
const NARROWEST: f64 = 0.75;

/// Told apart by lightness as well as by hue, and pending by its hatching too.
const STYLE: &str = "
svg { --ink: #1b1f24; --faint: #57606a; --paper: #ffffff; --free: #eceff2; --edge: #8c959f }
@media (prefers-color-scheme: dark) {
svg { --ink: #e6edf3; --faint: #9aa4af; --paper: #0d1117; --free: #222a33; --edge: #6e7681 }
}
text { font: 13px system-ui, 'Helvetica Neue', 'DejaVu Sans', sans-serif; fill: var(--ink) }
text.title { font-size: 20px; font-weight: 600 }
text.heap { font-size: 15px; font-weight: 600 }
text.faint { fill: var(--faint) }
rect { shape-rendering: crispEdges }
.paper { fill: var(--paper) }
.free { fill: var(--free) }
.buffer { fill: #2f7fc1 }
.image { fill: #e69f00 }
.unknown { fill: #5aa469 }
.pending { fill: url(#hatched) }
.frame { fill: none; stroke: var(--edge) }
g.region:hover rect { stroke: var(--ink); stroke-width: 2 }
";

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
                        drawing = drawing.add(bar(block, y, &title, widest));
                        y += STEP;
                    }
                }
            }
        }
        let (width, height) = (WIDTH + 2.0 * MARGIN, y + MARGIN);
        let paper = Rectangle::new().set("width", "100%").set("height", "100%");
        Document::new()
            .set("viewBox", (0.0, 0.0, width, height))
            .set("width", width)
            .set("height", height)
            .set("role", "img")
            .add(Title::new("Memory map"))
            .add(Style::new(STYLE))
            .add(Definitions::new().add(hatching()))
            .add(paper.set("class", "paper"))
            .add(drawing)
            .to_string()
    }
}

/// A block: its words, and under them its bar.
fn bar(block: &BlockPicture, y: f64, title: &str, widest: u64) -> Group {
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
        while (end - first.offset) as f64 * scale < NARROWEST {
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
pub(super) fn tell(region: &RegionPicture) -> String {
    let name = region.name.unwrap_or(match region.state {
        RegionState::Free => "free",
        _ => "(unnamed)",
    });
    let wait = region.waits.map(|wait| format!(", pending: waits for {wait}"));
    let wait = wait.unwrap_or_default();
    format!("{name}: {} at {}{wait}", bytes(region.size), region.offset)
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

fn hatching() -> Pattern {
    let ground = Rectangle::new().set("width", 6.0).set("height", 6.0).set("fill", "#b5519b");
    let stripe = Line::new().set("y2", 6.0).set("stroke", "#f3d3ea").set("stroke-width", 3.0);
    Pattern::new()
        .set("id", "hatched")
        .set("width", 6.0)
        .set("height", 6.0)
        .set("patternUnits", "userSpaceOnUse")
        .set("patternTransform", "rotate(45)")
        .add(ground)
        .add(stripe)
}

fn text(x: f64, y: f64, words: &str) -> Text {
    Text::new(words).set("x", x).set("y", y)
}

/// Two digits after the point are far below what can be seen.
fn rounded(length: f64) -> f64 {
    (length * 100.0).round() / 100.0
}

/// Bytes in the unit that a reader expects.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let unit = (count.max(1).ilog2() / 10).min(3);
    let whole = count >> (10 * unit);
    let tenth = ((count - (whole << (10 * unit))) * 10) >> (10 * unit);
    let name = UNITS.get(unit as usize).copied().unwrap_or("B");
    if tenth == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
}
