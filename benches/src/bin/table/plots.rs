//! Plots of time and footprint against the live count: one SVG for each figure and workload.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::Suite;

/// The figure that is drawn.
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

    /// The labelled values of the axis between two values.
    fn key_points(self, low: f64, high: f64) -> Vec<f64> {
        let series: Vec<f64> = match self {
            Self::Time => {
                let decades = (0..9).map(|power| 10_f64.powi(power));
                decades
                    .flat_map(|decade| [1.0, 1.5, 2.0, 3.0, 5.0, 7.0].map(|m| m * decade))
                    .collect()
            }
            Self::Footprint => {
                let step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
                let step = step.into_iter().find(|step| (high - low) / step < 12.0).unwrap_or(10.0);
                (1..).map(|at| f64::from(at) * step).take_while(|&at| at <= high).collect()
            }
        };
        series.into_iter().filter(|&at| at >= low && at <= high).collect()
    }
}

/// The figures of one subject over the live counts.
struct Line {
    name: &'static str,
    /// Its index among the colours, the same in all plots.
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
    /// Keeps the figures of a row for the plots.
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

    /// Draws the plots, if they were requested.
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
    let (low, high) = (low * 0.95, high * 1.05);
    let key_points = figure.key_points(low, high);
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{workload}: {}", figure.axis()), ("sans-serif", 20))
        .margin(12)
        .margin_right(NAMES)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(
            (left..right).log_scale(),
            (low..high).log_scale().with_key_points(key_points),
        )?;
    chart
        .configure_mesh()
        .x_desc("allocations alive")
        .x_label_formatter(&|live| super::count(*live as usize))
        .y_label_formatter(&|value| match figure {
            Figure::Time => format!("{value:.0}"),
            Figure::Footprint => format!("{value:.2}"),
        })
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;
    // Each line has its name at its end. If names would overlap, the lower one moves down.
    let mut ends = Vec::new();
    for Line { name, colour, points } in lines {
        let width = if name.starts_with("fencepost") { 3 } else { 1 };
        let style = colour_of(*colour).stroke_width(width);
        chart.draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?;
        if let Some(&end) = points.last() {
            ends.push((chart.backend_coord(&end), *name, *colour));
        }
    }
    ends.sort_unstable_by_key(|&((_, y), ..)| y);
    let mut lowest = i32::MIN;
    for ((x, y), name, colour) in ends {
        let y = y.max(lowest.saturating_add(NAME_HEIGHT));
        lowest = y;
        let style = ("sans-serif", 13).into_font().color(&colour_of(colour));
        area.draw(&Text::new(name, (x + 10, y - NAME_HEIGHT / 2), style))?;
    }
    area.present()?;
    Ok(())
}

/// The pixels on the right for the names of the lines, and the height of a name.
const NAMES: u32 = 150;
const NAME_HEIGHT: i32 = 14;

/// Colours that can be distinguished with any kind of colour vision, by Okabe and Ito; then darker
/// ones.
fn colour_of(place: usize) -> RGBColor {
    const COLOURS: [RGBColor; 7] = [
        RGBColor(0, 114, 178),
        RGBColor(213, 94, 0),
        RGBColor(0, 158, 115),
        RGBColor(204, 121, 167),
        RGBColor(86, 180, 233),
        RGBColor(230, 159, 0),
        RGBColor(90, 90, 90),
    ];
    let RGBColor(red, green, blue) = COLOURS[place % COLOURS.len()];
    let shade = |part: u8| (f64::from(part) * 0.6_f64.powi((place / COLOURS.len()) as i32)) as u8;
    RGBColor(shade(red), shade(green), shade(blue))
}
