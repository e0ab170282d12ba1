//! Draws a record as curves: live, pending and reserved bytes over time, and the fragmentation of
//! free memory.

use svg::node::element::{Group, Path, Rectangle, Title};

use super::{
    history::Moment,
    paint::{MARGIN, WIDTH, bytes, legend, paper, rounded, text},
};
use crate::record::Record;

/// The number of columns of the picture. In a long record, a column shows the maximum of its
/// moments.
const COLUMNS: usize = 290;
const STEP: f64 = WIDTH / COLUMNS as f64;
/// The heights of the two charts.
const BYTES: f64 = 200.0;
const SCATTER: f64 = 60.0;
const KINDS: [(&str, &str); 3] =
    [("buffer", "live"), ("pending", "pending"), ("curve", "reserved")];

/// The maximum of everything in a column.
#[derive(Clone, Copy, Default)]
struct Column {
    /// The last moment in the column or before it.
    last: Moment,
    live: u64,
    held: u64,
    reserved: u64,
    scatter: f64,
}

impl Column {
    fn see(&mut self, moment: &Moment) {
        self.live = self.live.max(moment.live);
        self.held = self.held.max(moment.live + moment.pending);
        self.reserved = self.reserved.max(moment.reserved);
        self.scatter = self.scatter.max(moment.fragmentation());
        self.last = *moment;
    }
}

impl Record {
    /// Draws live, pending and reserved bytes over time, and the fragmentation below them, as one
    /// SVG file. The charts are empty for a trace, which contains no times. The size of the file
    /// does not depend on the length of the record, and no peak is lost.
    pub fn to_svg(&self) -> String {
        let moments = self.moments();
        let (end, columns) = columns(&moments);
        let most = columns.iter().map(|column| column.reserved).max().unwrap_or(0).max(1);
        let top = MARGIN + 34.0;
        let middle = top + BYTES;
        let bottom = middle + 40.0 + SCATTER;
        let bytes_at = |count: u64| middle - BYTES * count as f64 / most as f64;
        let most_held = format!("{} reserved at most", bytes(most));
        let seconds = format!("{:.2} s", end as f64 / 1e6);

        let mut drawing = Group::new()
            .add(text(MARGIN, MARGIN, "Over time").set("class", "heap"))
            .add(legend(MARGIN + 22.0, &KINDS).0)
            .add(area(&columns, middle, |c| bytes_at(c.held)).set("class", "pending"))
            .add(area(&columns, middle, |c| bytes_at(c.live)).set("class", "buffer"))
            .add(line(&columns, |c| bytes_at(c.reserved)).set("class", "curve"))
            .add(frame(top, BYTES))
            .add(text(MARGIN + WIDTH, top - 6.0, &most_held).set("class", "faint end"))
            .add(text(MARGIN, middle + 16.0, "0 s").set("class", "faint"))
            .add(text(MARGIN + WIDTH, middle + 16.0, &seconds).set("class", "faint end"));
        let scatter_at = |c: &Column| bottom - SCATTER * c.scatter;
        drawing = drawing
            .add(text(MARGIN, middle + 34.0, "fragmentation, of 1").set("class", "faint"))
            .add(area(&columns, bottom, scatter_at).set("class", "scatter"))
            .add(frame(middle + 40.0, SCATTER));
        // Wide enough for the mouse.
        for (number, of_place) in columns.chunks(2).enumerate() {
            drawing = drawing.add(place(number, of_place, top, bottom));
        }
        paper("Memory over time", bottom + MARGIN).add(drawing).to_string()
    }
}

/// The time of the last moment, and the columns. Nothing changes between two moments.
fn columns(moments: &[Moment]) -> (u64, Vec<Column>) {
    let end = moments.last().map_or(0, |last| last.microseconds);
    let mut columns = Vec::with_capacity(COLUMNS);
    let mut rest = moments.iter().peekable();
    let mut last = Moment::default();
    for number in 1..=COLUMNS as u128 {
        let mut column = Column::default();
        column.see(&last);
        let until = u128::from(end) * number / COLUMNS as u128;
        while let Some(moment) = rest.next_if(|moment| u128::from(moment.microseconds) <= until) {
            column.see(moment);
        }
        last = column.last;
        columns.push(column);
    }
    (end, columns)
}

/// The steps of a curve, as the data of a path without its start.
fn steps(columns: &[Column], y: impl Fn(&Column) -> f64) -> String {
    let points = (0..).zip(columns).map(|(number, column)| {
        let right = rounded(MARGIN + STEP * f64::from(number + 1));
        format!("V{}H{right}", rounded(y(column)))
    });
    points.collect()
}

fn area(columns: &[Column], ground: f64, y: impl Fn(&Column) -> f64) -> Path {
    let right = MARGIN + WIDTH;
    Path::new().set("d", format!("M{MARGIN},{ground}{}H{right}V{ground}Z", steps(columns, y)))
}

fn line(columns: &[Column], y: impl Fn(&Column) -> f64) -> Path {
    let start = columns.first().map_or(0.0, &y);
    Path::new().set("d", format!("M{MARGIN},{}{}", rounded(start), steps(columns, y)))
}

fn frame(y: f64, height: f64) -> Rectangle {
    let frame = Rectangle::new().set("class", "frame").set("x", MARGIN).set("y", y);
    frame.set("width", WIDTH).set("height", height)
}

/// Shows the figures of some columns under the mouse.
fn place(number: usize, columns: &[Column], top: f64, bottom: f64) -> Group {
    let Some(last) = columns.last().map(|column| column.last) else { return Group::new() };
    let told = format!(
        "{:.3} s: {} live, {} pending, {} reserved in {} blocks, fragmentation {:.2}",
        last.microseconds as f64 / 1e6,
        bytes(last.live),
        bytes(last.pending),
        bytes(last.reserved),
        last.blocks,
        last.fragmentation(),
    );
    let rect = Rectangle::new()
        .set("class", "glass")
        .set("x", rounded(MARGIN + 2.0 * STEP * number as f64))
        .set("y", top)
        .set("width", rounded(STEP * columns.len() as f64))
        .set("height", bottom - top);
    Group::new().set("class", "moment").add(Title::new(told)).add(rect)
}
