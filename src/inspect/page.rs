//! The map as a page that stands alone: the picture, a search by name, and a list.

use std::fmt::Write;

use super::{
    snapshot::Snapshot,
    svg::{kind_of, tell},
};
use crate::{allocator::RegionState, record::Record};

const HEAD: &str = include_str!("page_head.html");
const SCRIPT: &str = include_str!("page_script.html");

impl Snapshot {
    /// The memory map as one HTML file: the picture, pointed at for what lies where, and under it a
    /// list of all allocations, searched by name. It fetches nothing, and is readable without
    /// scripts.
    ///
    /// Cost: O(regions).
    pub fn to_html(&self) -> String {
        self.page("")
    }

    /// [`to_html`](Self::to_html), and over the map what a record tells of the time before, as
    /// [`Record::to_svg`] draws it.
    pub fn to_html_with(&self, record: &Record) -> String {
        self.page(&record.to_svg())
    }

    fn page(&self, before: &str) -> String {
        let mut page = String::from(HEAD);
        page.push_str(before);
        page.push_str(&self.to_svg());
        page.push_str("\n<table><thead><tr><th>Type<th>Block<th>Offset<th>Bytes<th>What<th>Age</tr></thead><tbody id=list>\n");
        for memory_type in self.memory_types() {
            for set in &memory_type.sets {
                for (number, block) in set.blocks.iter().enumerate() {
                    let taken = block.regions.iter().filter(|r| r.state != RegionState::Free);
                    for region in taken {
                        // Writing to a string cannot fail.
                        let _ = writeln!(
                            page,
                            "<tr class={}><td>{}<td>{number}<td>{}<td>{}<td>{}<td>{}",
                            kind_of(region),
                            memory_type.index,
                            region.offset,
                            region.size,
                            escaped(&tell(region)),
                            region.age,
                        );
                    }
                }
            }
        }
        page.push_str("</tbody></table>\n");
        page.push_str(SCRIPT);
        page
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
