//! Draws one block as rows of bars.

use svg::node::element::{Group, Rectangle, Title};

use super::{
    paint::{WIDTH, bytes, rounded},
    snapshot::Snapshot,
};
use crate::allocator::{BlockPicture, RegionPicture, RegionState, TenantKind};

const BAR: f64 = 18.0;
const STEP: f64 = 22.0;
/// Regions narrower than this are drawn together with their neighbours.
const NARROWEST: f64 = 1.5;
/// The limit if there are very many regions, because a browser has to hold all of them.
const NARROWEST_OF_MANY: f64 = 6.0;
const MANY: usize = 10_000;
/// The number of regions for which a picture gets one row, and the maximum number of rows.
const REGIONS_A_ROW: usize = 25;
const ROWS: usize = 64;

/// What a stretch of a bar shows, with its name in the legend.
pub(super) const KINDS: [(&str, &str); 5] = [
    ("buffer", "buffer"),
    ("image", "image"),
    ("unknown", "bound by you"),
    ("pending", "pending: the GPU may still touch it"),
    ("free", "free"),
];

/// The number of bytes in a full row; the same for all blocks of a picture.
pub(super) struct Scale {
    pub(super) row_bytes: u64,
    /// The smallest size that is drawn by itself.
    least: u64,
}

impl Scale {
    /// A power of two, so that most blocks end at the end of a row.
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let (mut regions, mut sum, mut largest) = (0, 0_u64, 1_u64);
        for block in snapshot.blocks() {
            regions += block.regions.len();
            sum = sum.saturating_add(block.size);
            largest = largest.max(block.size);
        }
        let most = (regions / REGIONS_A_ROW).min(ROWS) as u64;
        let mut row_bytes = largest.checked_next_power_of_two().unwrap_or(1 << 63);
        while row_bytes > 4096 && sum / (row_bytes / 2) <= most {
            row_bytes /= 2;
        }
        let narrowest = if regions > MANY { NARROWEST_OF_MANY } else { NARROWEST };
        Self { row_bytes, least: (row_bytes as f64 * narrowest / WIDTH) as u64 }
    }

    fn length(&self, bytes: u64) -> f64 {
        bytes as f64 / self.row_bytes as f64 * WIDTH
    }

    /// The width of a block of this size.
    pub(super) fn width(&self, size: u64) -> f64 {
        self.length(size.min(self.row_bytes))
    }

    /// The number of rows of a block of this size.
    pub(super) fn rows(&self, size: u64) -> u64 {
        size.div_ceil(self.row_bytes)
    }

    /// The height of this many rows.
    pub(super) fn height(&self, rows: u64) -> f64 {
        rows as f64 * STEP
    }
}

/// Draws the rows of a block from this position on.
pub(super) fn bars(block: &BlockPicture, x: f64, y: f64, scale: &Scale) -> Group {
    let mut group = Group::new();
    let mut regions = block.regions.as_slice();
    while let [first, following @ ..] = regions {
        // A region that is too narrow to see is drawn together with its neighbours.
        let (mut count, mut size) = (1, first.size);
        for next in following {
            if size >= scale.least {
                break;
            }
            (count, size) = (count + 1, size + next.size);
        }
        let (stretch, rest) = regions.split_at(count);
        group = group.add(draw(stretch, size, x, y, scale));
        regions = rest;
    }
    let frames = Frame { x, y, scale };
    frames
        .pieces(0, block.size)
        .fold(group, |group, piece| group.add(piece.bar(0.0, BAR).set("class", "frame")))
}

/// The position of the rows of a block.
struct Frame<'a> {
    x: f64,
    y: f64,
    scale: &'a Scale,
}

/// A stretch of one row.
struct Piece {
    x: f64,
    y: f64,
    width: f64,
}

impl Frame<'_> {
    /// The pieces of a range of the block, which is cut where rows end.
    fn pieces(&self, start: u64, end: u64) -> impl Iterator<Item = Piece> {
        let row_bytes = self.scale.row_bytes;
        let first = start / row_bytes;
        (first..end.div_ceil(row_bytes)).map(move |row| {
            let row_start = row * row_bytes;
            let from = start.max(row_start) - row_start;
            let to = (end - row_start).min(row_bytes);
            let (x, y) = (self.x + self.scale.length(from), self.y + self.scale.height(row));
            Piece { x, y, width: self.scale.length(to - from) }
        })
    }
}

impl Piece {
    /// A bar over a part of the height.
    fn bar(&self, from: f64, height: f64) -> Rectangle {
        let bar = Rectangle::new().set("x", rounded(self.x)).set("y", rounded(self.y + from));
        bar.set("width", rounded(self.width)).set("height", rounded(height))
    }
}

/// Draws regions as one stretch: a single region in its colour, and several as the proportions of
/// their kinds.
fn draw(stretch: &[RegionPicture], size: u64, x: f64, y: f64, scale: &Scale) -> Group {
    let mut group = Group::new().set("class", "region");
    let Some(first) = stretch.first() else { return group };
    let taken = stretch.iter().filter(|region| region.state != RegionState::Free).count();
    if taken != 1 {
        // The number of rows of the list for which it stands.
        group = group.set("data-n", taken);
    }
    let shares = KINDS.map(|(kind, _)| {
        let of_kind = stretch.iter().filter(|region| kind_of(region) == kind);
        (kind, of_kind.map(|region| region.size).sum::<u64>())
    });
    let told = match stretch {
        [only] => tell(only),
        _ => {
            let shares = shares.iter().filter(|(_, bytes)| *bytes > 0);
            let shares: Vec<_> =
                shares.map(|&(kind, of)| format!("{} {kind}", bytes(of))).collect();
            let largest = stretch.iter().max_by_key(|region| region.size).unwrap_or(first);
            let (count, at) = (stretch.len(), first.offset);
            format!(
                "{count} regions from {at}: {}; the largest: {}",
                shares.join(", "),
                tell(largest)
            )
        }
    };
    group = group.add(Title::new(told));
    let frame = Frame { x, y, scale };
    for mut piece in frame.pieces(first.offset, first.offset + size) {
        if stretch.len() == 1 && piece.width >= 4.0 {
            // A narrow gap separates neighbours.
            piece.width -= 1.0;
        }
        let mut top = 0.0;
        for &(kind, share) in shares.iter().filter(|(_, share)| *share > 0) {
            let height = BAR * share as f64 / size.max(1) as f64;
            group = group.add(piece.bar(top, height).set("class", kind));
            top += height;
        }
    }
    group
}

/// Describes a region in one line.
fn tell(region: &RegionPicture) -> String {
    let (name, wait) = (name_of(region), wait_of(region));
    format!("{name}: {} at {}{wait}", bytes(region.size), region.offset)
}

/// The name of a region, and what it waits for.
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

/// The percentage of a block that is of such kinds.
pub(super) fn share_of(block: &BlockPicture, is: impl Fn(&str) -> bool) -> u64 {
    let of_kind = block.regions.iter().filter(|region| is(kind_of(region)));
    let bytes: u64 = of_kind.map(|region| region.size).sum();
    (bytes as f64 * 100.0 / block.size.max(1) as f64) as u64
}
