//! The memory map as a self-contained page: the picture, a search by name, and a list.

use std::{collections::HashMap, fmt::Write};

use super::{
    bars::{called, kind_of},
    snapshot::Snapshot,
};
use crate::{
    allocator::{RegionPicture, RegionState},
    record::Record,
};

const HEAD: &str = include_str!("page_head.html");
const SCRIPT: &str = include_str!("page_script.html");

/// If there are more allocations than this, their list is data from which the script creates rows
/// piece by piece, because a browser takes long to lay out a table with very many rows.
const ROWS: usize = 2000;

/// A row of the list.
struct Row<'a> {
    memory_type: u32,
    block: usize,
    region: &'a RegionPicture,
}

impl Snapshot {
    /// Draws the memory map as one HTML file. It contains the picture, which shows details under
    /// the mouse, and a list of all allocations that can be searched by name and sorted by any
    /// column. The page loads nothing else. With up to 2000 allocations it is readable without
    /// scripts. A page of 100,000 allocations has 4 to 5 MB.
    ///
    /// Cost: O(regions).
    pub fn to_html(&self) -> String {
        self.page("")
    }

    /// As [`to_html`](Self::to_html), with a chart of the record above the map, as
    /// [`Record::to_svg`] draws it.
    pub fn to_html_with(&self, record: &Record) -> String {
        self.page(&record.to_svg())
    }

    fn page(&self, before: &str) -> String {
        let mut page = String::from(HEAD);
        page.push_str(before);
        page.push_str(&self.to_svg());
        page.push_str("\n<table><thead><tr><th>Type<th>Block<th>Offset<th>Bytes<th>What<th title=\"allocations that its block has made since\">Age</tr></thead><tbody id=list>\n");
        if self.rows().nth(ROWS).is_none() {
            self.rows().for_each(|row| row.write_html(&mut page));
            page.push_str("</tbody></table>\n");
        } else {
            page.push_str("</tbody></table>\n<script id=data type=\"application/json\">");
            page.push_str(&self.data());
            page.push_str("</script>\n");
        }
        page.push_str(SCRIPT);
        page
    }

    /// The list as JSON: the texts that rows have in common, followed by the rows.
    fn data(&self) -> String {
        let (mut texts, mut places) = (Vec::new(), HashMap::new());
        let mut place_of = |text: String| {
            *places.entry(text).or_insert_with_key(|text| {
                texts.push(text.clone());
                texts.len() - 1
            })
        };
        let rows: Vec<_> = self
            .rows()
            .map(|Row { memory_type, block, region }| {
                let kind = place_of(kind_of(region).to_owned());
                let what = place_of(called(region));
                (kind, memory_type, block, region.offset, region.size, what, region.age)
            })
            .collect();
        // Texts and numbers can always be converted to JSON. What could end the script is escaped.
        let data = serde_json::to_string(&(texts, rows)).unwrap_or_default();
        data.replace('<', "\\u003c")
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let sets = self
            .memory_types()
            .flat_map(|memory_type| memory_type.sets.iter().map(|set| (memory_type.index, set)));
        sets.flat_map(|(memory_type, set)| {
            set.blocks.iter().enumerate().flat_map(move |(block, picture)| {
                let taken = picture.regions.iter().filter(|r| r.state != RegionState::Free);
                taken.map(move |region| Row { memory_type, block, region })
            })
        })
    }
}

impl Row<'_> {
    fn write_html(&self, page: &mut String) {
        let Self { memory_type, block, region } = self;
        let RegionPicture { offset, size, age, .. } = region;
        let (kind, what) = (kind_of(region), escaped(&called(region)));
        // Writing to a string cannot fail.
        let _ = writeln!(
            page,
            "<tr class={kind}><td>{memory_type}<td>{block}<td>{offset}<td>{size}<td>{what}<td>{age}"
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
