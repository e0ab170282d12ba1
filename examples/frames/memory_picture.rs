//! The allocator's memory as a picture: every block to scale, every region in the colour of its
//! state, with its name when pointed at.
use fencepost::{BlockPicture, RegionPicture, RegionState, ResourceKind};
use svg::Document;
use svg::node::element::{Definitions, Group, Line, Pattern, Rectangle, Style, Text, Title};

/// Width of the bars, in the picture's units.
const WIDTH: f64 = 1200.0;
/// Room around everything.
const MARGIN: f64 = 24.0;
/// Height of one row of a block, and what it takes with the gap below.
const ROW: f64 = 15.0;
const ROW_STEP: f64 = 18.0;
/// Height of a line of text with its gap.
const LINE: f64 = 24.0;
/// Blocks are cut into rows, like text into lines, at most about this many in all.
const ROWS: u64 = 44;

/// Told apart by lightness as well as by hue, and pending by its hatching too: nobody has to tell
/// red from green.
const STYLE: &str = "
    text { font: 13px system-ui, 'Helvetica Neue', 'DejaVu Sans', sans-serif; fill: #1b1f24 }
    text.title { font-size: 20px; font-weight: 600 }
    text.faint { fill: #57606a }
    rect { shape-rendering: geometricPrecision }
    .buffer { fill: #0b4f8a }
    .image { fill: #4aa3df }
    .pending { fill: url(#hatched) }
    .free { fill: #eef0f2 }
    g.region:hover rect { stroke: #1b1f24; stroke-width: 2 }
    .frame { fill: none; stroke: #8c959f; stroke-width: 0.75 }
";

/// Draws the blocks, under a heading and a line of words.
pub(crate) fn draw(blocks: &[BlockPicture], title: &str, words: &str) -> Document {
    let row_bytes = row_bytes(blocks);
    let mut y = MARGIN + LINE;
    let mut drawing = Group::new()
        .add(text(MARGIN, y, title).set("class", "title"))
        .add(text(MARGIN, y + LINE, words).set("class", "faint"));
    y += 2.2 * LINE;
    drawing = drawing.add(legend(y, row_bytes));
    y += 1.6 * LINE;
    for (index, block) in blocks.iter().enumerate() {
        drawing = drawing.add(text(MARGIN, y + 12.0, &describe(index, block)));
        y += LINE * 0.8;
        for region in &block.regions {
            drawing = drawing.add(draw_region(region, y, row_bytes));
        }
        let rows = block.size.div_ceil(row_bytes);
        for row in 0..rows {
            let bytes = (block.size - row * row_bytes).min(row_bytes);
            drawing = drawing
                .add(bar(0, bytes, row_bytes, y + ROW_STEP * row as f64).set("class", "frame"));
        }
        y += rows as f64 * ROW_STEP + 0.5 * LINE;
    }
    let (width, height) = (WIDTH + 2.0 * MARGIN, y + MARGIN * 0.5);
    Document::new()
        .set("viewBox", (0.0, 0.0, width, height))
        .set("width", width)
        .set("height", height)
        .set("role", "img")
        .add(Title::new(title))
        .add(Style::new(STYLE))
        .add(Definitions::new().add(hatching()))
        .add(Rectangle::new().set("width", "100%").set("height", "100%").set("fill", "#ffffff"))
        .add(drawing)
}

/// How many bytes a full row shows: a power of two, so that blocks end where rows end.
fn row_bytes(blocks: &[BlockPicture]) -> u64 {
    let mut bytes = 16 << 10;
    while blocks.iter().map(|block| block.size.div_ceil(bytes)).sum::<u64>() > ROWS {
        bytes *= 2;
    }
    bytes
}

/// A region, cut where rows end. All its pieces answer to the pointer as one.
fn draw_region(region: &RegionPicture, top: f64, row_bytes: u64) -> Group {
    let class = match (region.state, region.kind) {
        (RegionState::Free, _) => "free",
        (RegionState::Pending, _) => "pending",
        (RegionState::Used, Some(ResourceKind::Optimal)) => "used image",
        (RegionState::Used, _) => "used buffer",
    };
    let name = region.name.unwrap_or("no name");
    let words = match region.state {
        RegionState::Free => format!("free, {}", size(region.size)),
        RegionState::Pending => format!("{name}, {}, dropped and pending", size(region.size)),
        RegionState::Used => format!("{name}, {}", size(region.size)),
    };
    let mut group = Group::new()
        .set("class", "region")
        .add(Title::new(format!("{words}, at offset {}", region.offset)));
    let (mut start, end) = (region.offset, region.offset + region.size);
    while start < end {
        let row = start / row_bytes;
        let stop = end.min((row + 1) * row_bytes);
        let piece = bar(start % row_bytes, stop - start, row_bytes, top + ROW_STEP * row as f64);
        group = group.add(piece.set("class", class));
        start = stop;
    }
    group
}

/// A rectangle for bytes of one row. A sliver of white keeps neighbours apart where there is room.
fn bar(start: u64, bytes: u64, row_bytes: u64, y: f64) -> Rectangle {
    let scale = WIDTH / row_bytes as f64;
    let (x, width) = (start as f64 * scale, bytes as f64 * scale);
    let gap = if width > 3.0 { 0.6 } else { 0.0 };
    Rectangle::new()
        .set("x", round(MARGIN + x))
        .set("y", y)
        .set("width", round((width - gap).max(0.15)))
        .set("height", ROW)
}

fn legend(y: f64, row_bytes: u64) -> Group {
    let entries = [
        ("used buffer", "buffer"),
        ("used image", "image"),
        ("pending", "dropped, waiting for the GPU"),
        ("free", "free"),
    ];
    let mut group = Group::new().set("class", "legend");
    let mut x = MARGIN;
    for (class, words) in entries {
        let swatch = Rectangle::new().set("x", x).set("y", y).set("width", 26).set("height", ROW);
        group = group.add(swatch.clone().set("class", class));
        group = group.add(swatch.set("class", "frame"));
        group = group.add(text(x + 34.0, y + 12.0, words));
        x += 74.0 + 7.2 * words.len() as f64;
    }
    let scale = format!("a full row is {}", size(row_bytes));
    group
        .add(
            Line::new()
                .set("x1", x)
                .set("x2", x + 26.0)
                .set("y1", y + 7.5)
                .set("y2", y + 7.5)
                .set("stroke", "#57606a"),
        )
        .add(text(x + 34.0, y + 12.0, &scale).set("class", "faint"))
}

/// Amber with dark strokes.
fn hatching() -> Pattern {
    Pattern::new()
        .set("id", "hatched")
        .set("width", 5)
        .set("height", 5)
        .set("patternUnits", "userSpaceOnUse")
        .set("patternTransform", "rotate(45)")
        .add(Rectangle::new().set("width", 5).set("height", 5).set("fill", "#f2a900"))
        .add(Rectangle::new().set("width", 1.4).set("height", 5).set("fill", "#8a4b00"))
}

fn describe(index: usize, block: &BlockPicture) -> String {
    let sum = |state: RegionState| {
        let of_state = block.regions.iter().filter(|region| region.state == state);
        of_state.map(|region| region.size).sum::<u64>()
    };
    format!(
        "{} {}: memory type {}, heap {}, {}, of it {} used, {} pending, {} free",
        if block.dedicated { "Dedicated memory" } else { "Block" },
        index + 1,
        block.memory_type,
        block.heap,
        size(block.size),
        size(sum(RegionState::Used)),
        size(sum(RegionState::Pending)),
        size(sum(RegionState::Free)),
    )
}

fn text(x: f64, y: f64, words: &str) -> Text {
    Text::new(words).set("x", x).set("y", y)
}

/// Bytes in the unit that suits them.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
