//! What all pictures have in common: document, colours, text, units.

use svg::{
    Document,
    node::element::{Definitions, Group, Line, Pattern, Rectangle, Style, Text, Title},
};

/// The width of a full bar in units of the picture.
pub(super) const WIDTH: f64 = 1160.0;
pub(super) const MARGIN: f64 = 24.0;
/// The approximate width of a letter.
pub(super) const LETTER: f64 = 6.9;

/// Colours differ in lightness as well as in hue, and pending is also hatched.
const STYLE: &str = "
svg { --ink: #1b1f24; --faint: #57606a; --paper: #ffffff; --free: #eceff2; --edge: #8c959f }
@media (prefers-color-scheme: dark) {
svg { --ink: #e6edf3; --faint: #9aa4af; --paper: #0d1117; --free: #222a33; --edge: #6e7681 }
}
text { font: 13px system-ui, 'Helvetica Neue', 'DejaVu Sans', sans-serif; fill: var(--ink) }
text.title { font-size: 20px; font-weight: 600 }
text.heap { font-size: 15px; font-weight: 600 }
text.faint { fill: var(--faint) }
rect, path { shape-rendering: crispEdges }
.paper { fill: var(--paper) }
.free { fill: var(--free) }
.buffer { fill: #2f7fc1 }
.image { fill: #e69f00 }
.unknown { fill: #5aa469 }
.pending { fill: url(#hatched) }
.frame { fill: none; stroke: var(--edge) }
g.region:hover rect { stroke: var(--ink); stroke-width: 2 }
text.end { text-anchor: end }
.curve { fill: none; stroke: var(--ink); stroke-width: 1.5 }
.scatter { fill: var(--edge) }
.glass { fill: var(--ink); opacity: 0 }
g.moment:hover rect { opacity: .15 }
";

/// An empty picture of this height.
pub(super) fn paper(title: &str, height: f64) -> Document {
    let width = WIDTH + 2.0 * MARGIN;
    let ground = Rectangle::new().set("width", "100%").set("height", "100%");
    Document::new()
        .set("viewBox", (0.0, 0.0, width, height))
        .set("width", width)
        .set("height", height)
        .set("role", "img")
        .add(Title::new(title))
        .add(Style::new(STYLE))
        .add(Definitions::new().add(hatching()))
        .add(ground.set("class", "paper"))
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

pub(super) fn text(x: f64, y: f64, words: &str) -> Text {
    Text::new(words).set("x", x).set("y", y)
}

/// Draws the meaning of colours, and returns where the line ends.
pub(super) fn legend(y: f64, kinds: &[(&str, &str)]) -> (Group, f64) {
    let mut x = MARGIN;
    let mut group = Group::new().set("class", "legend");
    for &(kind, word) in kinds {
        let swatch = Rectangle::new().set("class", kind).set("x", rounded(x)).set("y", y - 11.0);
        let swatch = swatch.set("width", 14.0).set("height", 14.0);
        group = group.add(swatch).add(text(rounded(x + 20.0), y, word));
        x += 44.0 + LETTER * word.len() as f64;
    }
    (group, rounded(x))
}

/// Two decimal places are far below what can be seen.
pub(super) fn rounded(length: f64) -> f64 {
    (length * 100.0).round() / 100.0
}

/// Formats bytes in the customary unit.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let unit = (count.max(1).ilog2() / 10).min(3);
    let whole = count >> (10 * unit);
    let tenth = ((count - (whole << (10 * unit))) * 10) >> (10 * unit);
    let name = UNITS.get(unit as usize).copied().unwrap_or("B");
    if tenth == 0 { format!("{whole} {name}") } else { format!("{whole}.{tenth} {name}") }
}
