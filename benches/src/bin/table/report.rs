//! The format of a table: its head, its rows, and the comparisons in them.

use fencepost_benches::contender::Contender;
use fencepost_benches::stream::Stream;

use super::Suite;

impl Suite {
    pub(super) fn header(&self, title: &str, note: &str, more: &[&str]) {
        println!("\n### {title}\n{note}\n");
        let names = self.contenders.iter().map(|contender| contender.name());
        let columns: Vec<&str> = names.chain(more.iter().copied()).collect();
        println!("| | {} |", columns.join(" | "));
        println!("|---|{}", "---|".repeat(columns.len()));
    }

    /// A row with a cell for each contender. Missing ones get a dash.
    pub(super) fn row(&self, name: &str, cells: &[(&str, String)], more: &[String]) {
        let cell = |contender: &dyn Contender| {
            let found = cells.iter().find(|(name, _)| *name == contender.name());
            found.map_or("–", |(_, text)| text.as_str()).to_owned()
        };
        let all = self.contenders.iter().map(AsRef::as_ref);
        let cells: Vec<String> = all.map(cell).chain(more.iter().cloned()).collect();
        println!("| {name} | {} |", cells.join(" | "));
    }

    /// The figure of this crate over that of the best rival, singly and batched. Lower is better.
    pub(super) fn against_rivals(
        &self,
        figures: &[(&str, f64)],
        references_too: bool,
    ) -> Vec<String> {
        let figure = |contender: &dyn Contender| {
            figures.iter().find(|(name, _)| *name == contender.name()).map(|&(_, figure)| figure)
        };
        let is_ours = |contender: &&dyn Contender| contender.name().starts_with("fencepost");
        let all = || self.contenders.iter().map(AsRef::as_ref);
        let rivals = all()
            .filter(|contender| !is_ours(contender))
            .filter(|contender| references_too || !contender.is_reference());
        let best = rivals.filter_map(figure).min_by(f64::total_cmp);
        let ratio =
            |ours: f64| best.map_or("–".to_owned(), |best| format!("**{:.2}**", ours / best));
        all().filter(is_ours).map(|ours| figure(ours).map_or("–".to_owned(), ratio)).collect()
    }

    /// The median over the streams of a contender's figure.
    pub(super) fn median_of(
        &self,
        streams: &[Stream],
        figure: impl Fn(&dyn Contender, &Stream) -> Option<f64>,
    ) -> Vec<(&'static str, f64)> {
        let of = |contender: &&dyn Contender| {
            let mut figures: Vec<f64> =
                streams.iter().filter_map(|stream| figure(*contender, stream)).collect();
            figures.sort_by(f64::total_cmp);
            let middle = figures.get(figures.len().checked_sub(1)? / 2)?;
            (figures.len() == streams.len()).then_some((contender.name(), *middle))
        };
        self.able(&streams[0]).iter().filter_map(of).collect()
    }
}

/// A count such as 10k or 1M.
pub(super) fn count(live: usize) -> String {
    match live {
        1_000_000.. => format!("{}M", live / 1_000_000),
        1_000.. => format!("{}k", live / 1_000),
        _ => live.to_string(),
    }
}
