//! Plots as SVG.
//!
//! A plot is drawn in black on nothing, and in colours that colour-blind people tell apart; lines are
//! named where they are drawn. [`themed`] makes one fit for a page that may be dark.

use std::collections::BTreeMap;
use std::fmt;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::suite::SuiteReport;
use crate::text::plain;

/// The size of a plot, in pixels.
const SIZE: (u32, u32) = (640, 320);

/// What is written and what holds the picture.
const INK: RGBColor = RGBColor(1, 1, 1);

/// Lines behind the picture.
const FAINT: RGBColor = RGBColor(200, 200, 201);

/// Lines and bars, in the order they are given out: after Okabe and Ito.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A line in a plot.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    /// What it shows.
    pub name: String,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// What is written around a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Labels<'a> {
    /// Above.
    pub title: &'a str,
    /// Below.
    pub x: &'a str,
    /// On the left.
    pub y: &'a str,
}

/// For every scenario with recovery times, how many of its runs had recovered by when, one line a variant;
/// the scenario's name before each.
pub fn recovery(suite: &SuiteReport) -> Vec<(String, String)> {
    let mut scenarios: BTreeMap<&str, Vec<Line>> = BTreeMap::new();
    for variant in suite.variants.iter().filter(|variant| !variant.recovery.is_empty()) {
        let (scenario, name) = variant.name.rsplit_once('/').unwrap_or((&variant.name, ""));
        let mut times: Vec<_> = variant.recovery.iter().map(std::time::Duration::as_secs_f64).collect();
        times.sort_by(f64::total_cmp);
        let runs = variant.runs.max(times.len() as u64) as f64;
        let points = steps(&times, runs);
        scenarios.entry(scenario).or_default().push(Line { name: name.to_owned(), points });
    }
    scenarios
        .into_iter()
        .map(|(scenario, lines)| {
            let title = format!("{}: recovered by", plain(scenario));
            let labels = Labels { title: &title, x: "seconds after the last fault", y: "share of runs" };
            (scenario.to_owned(), share(labels, &lines))
        })
        .collect()
}

/// The steps of how many of `runs` had recovered by when; `times` are sorted.
fn steps(times: &[f64], runs: f64) -> Vec<(f64, f64)> {
    let mut points = vec![(times.first().copied().unwrap_or_default(), 0.0)];
    let mut before = 0.0;
    // As many points as a plot has pixels are enough.
    let stride = times.len().div_ceil(SIZE.0 as usize).max(1);
    for (index, time) in times.iter().enumerate() {
        if (index + 1) % stride == 0 || index + 1 == times.len() {
            points.push((*time, before));
            before = (index + 1) as f64 / runs;
            points.push((*time, before));
        }
    }
    points
}

/// Lines between nothing and all, such as how likely a failure is when the fault comes at a certain time.
pub fn share(labels: Labels<'_>, lines: &[Line]) -> String {
    let xs = lines.iter().flat_map(|line| &line.points).map(|(x, _)| *x).filter(|x| x.is_finite());
    let (least, greatest) =
        xs.fold((f64::MAX, f64::MIN), |(least, greatest), x| (least.min(x), greatest.max(x)));
    if least > greatest {
        return empty(labels);
    }
    // Lines start a little away from the axis, and their names need room.
    let width = (greatest - least).max(greatest.abs() / 10.0).max(0.1);
    let range = (least - width * 0.05)..(greatest + width * 0.05);
    drawn(|root| {
        let mut chart = ChartBuilder::on(root)
            .caption(plain(labels.title), ("sans-serif", 15).into_font().color(&INK))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(range.clone(), 0.0..1.0)
            .map_err(|_| fmt::Error)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(FAINT.stroke_width(1))
            .axis_style(INK)
            .label_style(("sans-serif", 12).into_font().color(&INK))
            .axis_desc_style(("sans-serif", 12).into_font().color(&INK))
            .x_desc(plain(labels.x))
            .y_desc(plain(labels.y))
            .x_labels(8)
            .y_labels(6)
            .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
            .x_label_formatter(&|x| if width < 10.0 { format!("{x:.1}") } else { short(*x) })
            .draw()
            .map_err(|_| fmt::Error)?;
        for (line, color) in lines.iter().zip(COLORS.iter().cycle()) {
            let points = line.points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite());
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(2)))
                .map_err(|_| fmt::Error)?
                .label(plain(&line.name))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(3)));
        }
        if lines.iter().any(|line| !line.name.is_empty()) {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .label_font(("sans-serif", 12).into_font().color(&INK))
                .margin(10)
                .draw()
                .map_err(|_| fmt::Error)?;
        }
        Ok(())
    })
}

/// Bars from the left, one a name, such as how many runs it took to find a bug.
pub fn bars(title: &str, unit: &str, bars: &[(String, f64)]) -> String {
    let greatest = bars.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).fold(0.0, f64::max);
    if greatest <= 0.0 {
        return empty(Labels { title, x: unit, y: "" });
    }
    drawn(|root| {
        let text = ("sans-serif", 12).into_font().color(&INK);
        root.draw_text(&plain(title), &("sans-serif", 15).into_font().color(&INK), (12, 10))
            .map_err(|_| fmt::Error)?;
        let (left, right, top) = (190, SIZE.0 as i32 - 90, 44);
        let step = ((SIZE.1 as i32 - top - 12) / bars.len().max(1) as i32).clamp(4, 40);
        for ((index, (name, value)), color) in (0..).zip(bars).zip(COLORS.iter().cycle().take(1).cycle()) {
            let value = if value.is_finite() { value.max(0.0) } else { 0.0 };
            let y = top + index * step;
            // Both are far below the greatest integer.
            let end = left + (f64::from(right - left) * value / greatest).round() as i32;
            root.draw(&Rectangle::new(
                [(left, y), (end.max(left + 1), y + (step * 2 / 3).max(2))],
                color.filled(),
            ))
            .map_err(|_| fmt::Error)?;
            let middle = y + step / 3;
            let at = |h| text.clone().pos(Pos::new(h, VPos::Center));
            root.draw_text(&plain(name), &at(HPos::Right), (left - 8, middle)).map_err(|_| fmt::Error)?;
            root.draw_text(&format!("{} {}", short(value), plain(unit)), &at(HPos::Left), (end + 8, middle))
                .map_err(|_| fmt::Error)?;
        }
        Ok(())
    })
}

fn short(value: f64) -> String {
    if value.abs() >= 10.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn empty(labels: Labels<'_>) -> String {
    drawn(|root| {
        let style = ("sans-serif", 15).into_font().color(&INK);
        root.draw_text(&format!("{}: nothing to show", plain(labels.title)), &style, (12, 10))
            .map_err(|_| fmt::Error)
    })
}

/// What `draw` draws.
fn drawn(draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, plotters::coord::Shift>) -> fmt::Result) -> String {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        // Drawing into a string fails for no finite number, and those that are not are left out before.
        draw(&root).and_then(|()| root.present().map_err(|_| fmt::Error)).ok();
    }
    svg
}

/// `svg` on paper, for a file of its own: whoever shows it may do so on black.
pub fn on_paper(svg: &str) -> String {
    match svg.split_once(">\n") {
        Some((head, rest)) => {
            format!("{head}>\n<rect width=\"{}\" height=\"{}\" fill=\"#FFFFFF\"/>\n{rest}", SIZE.0, SIZE.1)
        }
        None => svg.to_owned(),
    }
}

/// `svg` without a size of its own, its ink in the colour of the text around it.
pub fn themed(svg: &str) -> String {
    svg.replace(&format!("\"{}\"", hex(INK)), "\"currentColor\"")
        .replace(&format!("\"{}\"", hex(FAINT)), "\"currentColor\" stroke-opacity=\"0.15\"")
        .replacen(&format!("width=\"{}\" height=\"{}\" ", SIZE.0, SIZE.1), "", 1)
}

fn hex(RGBColor(red, green, blue): RGBColor) -> String {
    format!("#{red:02X}{green:02X}{blue:02X}")
}
