//! Time and footprint against the live count, drawn: one SVG for each figure and workload.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::Suite;

/// What is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Figure {
    /// Nanoseconds per pair.
    Time,
    /// The smallest arena over the peak of live bytes.
    Footprint,
}

impl Figure {
    const ALL: [Self; 2] = [Self::Time, Self::Footprint];

    const fn file(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Footprint => "footprint",
        }
    }

    const fn axis(self) -> &'static str {
        match self {
            Self::Time => "ns per allocate and free",
            Self::Footprint => "smallest arena / peak live",
        }
    }
}

/// One subject's way over the live counts.
struct Line {
    name: &'static str,
    /// Its place among the colours, the same in all plots.
    colour: usize,
    /// Live count, figure.
    points: Vec<(f64, f64)>,
}

/// A figure of one subject on one workload at one live count.
pub(super) struct Point {
    figure: Figure,
    workload: String,
    subject: &'static str,
    live: usize,
    value: f64,
}

impl Suite {
    /// Keeps a row's figures for the plots.
    pub(super) fn point(
        &self,
        figure: Figure,
        workload: &str,
        live: usize,
        values: &[(&'static str, f64)],
    ) {
        let workload = workload.to_owned();
        self.points.borrow_mut().extend(values.iter().map(|&(subject, value)| Point {
            figure,
            workload: workload.clone(),
            subject,
            live,
            value,
        }));
    }

    /// Draws what was kept, where that was asked for.
    pub(super) fn draw(&self) -> Result<(), Box<dyn Error>> {
        let Some(folder) = &self.arguments.plots else { return Ok(()) };
        std::fs::create_dir_all(folder)?;
        let points = self.points.borrow();
        for (figure, workload) in
            Figure::ALL.into_iter().flat_map(|figure| self.workloads().map(move |w| (figure, w)))
        {
            let of_it =
                |point: &&Point| point.figure == figure && point.workload == workload.name();
            let points: Vec<&Point> = points.iter().filter(of_it).collect();
            let names = self.contenders.iter().map(|contender| contender.name());
            let lines: Vec<Line> = names
                .enumerate()
                .map(|(colour, name)| {
                    let own = points.iter().filter(|point| point.subject == name);
                    let points = own.map(|point| (point.live as f64, point.value)).collect();
                    Line { name, colour, points }
                })
                .filter(|line| line.points.len() > 1)
                .collect();
            if !lines.is_empty() {
                let file = format!("{}-{}.svg", figure.file(), workload.name().replace(' ', "-"));
                plot(&folder.join(file), figure, workload.name(), &lines)?;
            }
        }
        Ok(())
    }
}

fn plot(file: &Path, figure: Figure, workload: &str, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let range = |of: fn(&(f64, f64)) -> f64| {
        all().map(of).fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)))
    };
    let ((left, right), (low, high)) = (range(|point| point.0), range(|point| point.1));
    let area = SVGBackend::new(file, (900, 560)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{workload}: {}", figure.axis()), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d((left..right).log_scale(), (low * 0.95..high * 1.05).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("allocations alive")
        .x_label_formatter(&|live| super::count(*live as usize))
        .y_label_formatter(&|value| match figure {
            Figure::Time => format!("{value:.0}"),
            Figure::Footprint => format!("{value:.2}"),
        })
        .draw()?;
    for Line { name, colour, points } in lines {
        let width = if name.starts_with("fencepost") { 3 } else { 1 };
        let style = Palette99::pick(*colour).stroke_width(width);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    area.present()?;
    Ok(())
}
