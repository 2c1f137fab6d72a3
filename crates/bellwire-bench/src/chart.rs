//! Line charts as SVG, for reports and the docs: no script, readable in light and dark.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Room for the axes and the names of the lines.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 170.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
/// Colours that can be told apart, also by those who see fewer.
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c", "#a6761d",
];

/// A chart with a line for each name.
#[derive(Clone, Debug)]
pub struct Chart {
    title: String,
    x: String,
    y: String,
    lines: Vec<(String, Vec<(f64, f64)>)>,
    /// Whether equal steps of x are equal factors.
    logarithmic: bool,
}

impl Chart {
    /// An empty chart whose x axis is logarithmic.
    #[must_use]
    pub fn new(title: &str, x: &str, y: &str) -> Self {
        Self {
            title: title.to_owned(),
            x: x.to_owned(),
            y: y.to_owned(),
            lines: Vec::new(),
            logarithmic: true,
        }
    }

    /// The same with equal steps on the x axis.
    #[must_use]
    pub fn linear(mut self) -> Self {
        self.logarithmic = false;
        self
    }

    /// Adds a point to a line.
    pub fn point(&mut self, line: &str, x: f64, y: f64) {
        match self.lines.iter_mut().find(|(name, _)| name == line) {
            Some((_, points)) => points.push((x, y)),
            None => self.lines.push((line.to_owned(), vec![(x, y)])),
        }
    }

    /// The picture.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut svg = String::new();
        self.write(&mut svg).expect("memory takes it");
        svg
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.lines
            .iter()
            .flat_map(|(_, points)| points.iter().copied())
    }

    fn write(&self, svg: &mut String) -> std::fmt::Result {
        let top = nice_above(self.points().map(|(_, y)| y).fold(0.0, f64::max));
        let place =
            |(x, y): (f64, f64)| (self.across(x), HEIGHT - BOTTOM - y / top * plot_height());
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
             <title>{title}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"16\" fill=\"#222222\">{title}</text>",
            title = escaped(&self.title),
        )?;
        self.write_axes(svg, top)?;
        for ((_, points), colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let mut path = String::new();
            for (nth, &point) in points.iter().enumerate() {
                let (x, y) = place(point);
                write!(path, "{}{x:.1} {y:.1}", if nth == 0 { "M" } else { " L" })?;
                writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                )?;
            }
            writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            )?;
        }
        self.write_names(svg, place)?;
        writeln!(svg, "</svg>")
    }

    fn write_axes(&self, svg: &mut String, top: f64) -> std::fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let y = bottom - plot_height() * f64::from(step) / 4.0;
            writeln!(
                svg,
                "<path d=\"M{LEFT} {y:.1} H{right}\" stroke=\"#dddddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{}</text>",
                LEFT - 8.0,
                y + 4.0,
                short(value),
            )?;
        }
        let mut xs: Vec<f64> = self.points().map(|(x, _)| x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let mut last = f64::NEG_INFINITY;
        for x in xs {
            // Labels that would overlap are left out.
            if self.across(x) - last < 48.0 {
                continue;
            }
            last = self.across(x);
            writeln!(
                svg,
                "<text x=\"{last:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{}</text>",
                bottom + 20.0,
                short(x),
            )?;
        }
        writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222222\">{}</text>\n\
             <text x=\"18\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#222222\" \
             transform=\"rotate(-90 18 {:.1})\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 14.0,
            escaped(&self.x),
            (TOP + bottom) / 2.0,
            (TOP + bottom) / 2.0,
            escaped(&self.y),
        )
    }

    /// Names beside the ends of the lines, moved apart where those are close.
    fn write_names(
        &self,
        svg: &mut String,
        place: impl Fn((f64, f64)) -> (f64, f64),
    ) -> std::fmt::Result {
        let mut names: Vec<(f64, &str, &str)> = self
            .lines
            .iter()
            .zip(COLOURS.iter().cycle())
            .filter_map(|((name, points), colour)| {
                Some((place(*points.last()?).1, name.as_str(), *colour))
            })
            .collect();
        names.sort_by(|one, other| one.0.total_cmp(&other.0));
        let mut free = 0.0_f64;
        for (y, name, colour) in names {
            let y = y.max(free);
            free = y + 16.0;
            writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
                WIDTH - RIGHT + 10.0,
                y + 4.0,
                escaped(name),
            )?;
        }
        Ok(())
    }

    fn across(&self, x: f64) -> f64 {
        let scale = |x: f64| {
            if self.logarithmic {
                x.max(1e-9).ln()
            } else {
                x
            }
        };
        let low = self
            .points()
            .map(|(x, _)| scale(x))
            .fold(f64::INFINITY, f64::min);
        let high = self
            .points()
            .map(|(x, _)| scale(x))
            .fold(f64::NEG_INFINITY, f64::max);
        let share = if high > low {
            (scale(x) - low) / (high - low)
        } else {
            0.5
        };
        LEFT + 12.0 + share * (WIDTH - LEFT - RIGHT - 24.0)
    }
}

fn plot_height() -> f64 {
    HEIGHT - TOP - BOTTOM
}

/// A round number at or above a value.
fn nice_above(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value);
    step.unwrap_or(10.0) * power
}

/// A number in few characters.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        large if large >= 1e6 => (value / 1e6, " M"),
        large if large >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let text = format!("{value:.2}");
    format!("{}{unit}", text.trim_end_matches('0').trim_end_matches('.'))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_above_what_they_show() {
        assert_eq!([0.9, 7.72, 13.0].map(nice_above), [1.0, 8.0, 16.0]);
        assert_eq!([0.25, 100.0, 18_000.0].map(short), ["0.25", "100", "18 k"]);
    }

    #[test]
    fn a_chart_names_each_line_once_and_escapes_it() {
        let mut chart = Chart::new("a < b", "x", "y");
        for x in [1.0, 10.0] {
            chart.point("one & only", x, x);
        }
        let svg = chart.svg();
        assert_eq!(svg.matches("one &amp; only").count(), 1);
        assert!(svg.contains("a &lt; b") && svg.ends_with("</svg>\n"));
    }
}
