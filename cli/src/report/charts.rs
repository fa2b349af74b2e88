//! Line charts as SVG, by hand: axes, sensible ticks, gridlines, direct labels.
//!
//! Colours are classes, so that the page's style sheet decides them for light, dark and paper. Every chart has a title and
//! a description for people who do not see it. All text is escaped here.

use std::fmt::{self, Display, Write};

use super::format::{power_of_ten, value};

/// Finished SVG. The one type that a template takes without escaping; its makers escape.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Svg(String);

impl Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Svg {}

/// Text as HTML or SVG content or as a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A coordinate: one decimal is a tenth of a pixel.
fn px(x: f64) -> String {
    let text = format!("{:.1}", if x.is_finite() { x } else { 0.0 });
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}

/// From data to a share of the axis.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scale {
    /// Even steps from the first to the second.
    Linear(f64, f64),
    /// Even factors from the first power of ten to the second.
    Log(i32, i32),
}

impl Scale {
    /// From the smallest to the largest of the values, and a little more; never empty.
    pub(super) fn around(values: impl Iterator<Item = f64>, slack: f64) -> Scale {
        let (lo, hi) = values
            .filter(|v| v.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if lo > hi {
            return Scale::Linear(0.0, 1.0);
        }
        let room = if hi > lo { (hi - lo) * slack } else { lo.abs().max(1.0) * 0.05 };
        Scale::Linear(lo - room, hi + room)
    }

    fn share(self, x: f64) -> f64 {
        match self {
            Scale::Linear(lo, hi) => (x - lo) / (hi - lo),
            Scale::Log(lo, hi) => (x.max(f64::MIN_POSITIVE).log10() - f64::from(lo)) / f64::from((hi - lo).max(1)),
        }
    }

    /// Round values along the axis, with their text.
    pub(super) fn ticks(self, about: usize) -> Vec<(f64, String)> {
        match self {
            Scale::Linear(lo, hi) => round_values(lo, hi, about).into_iter().map(|x| (x, value(x))).collect(),
            Scale::Log(lo, hi) => {
                let every = usize::try_from((hi - lo).max(0)).unwrap_or(0) / about.max(1) + 1;
                (lo..=hi).step_by(every).map(|e| (10f64.powi(e), power_of_ten(e))).collect()
            }
        }
    }

    /// The same as percentages.
    pub(super) fn percent_ticks(self, about: usize) -> Vec<(f64, String)> {
        let ticks = self.ticks(about).into_iter();
        ticks.map(|(x, _)| (x, format!("{} %", value((x * 1e6).round() / 1e4)))).collect()
    }
}

/// About so many multiples of 1, 2 or 5 times a power of ten in `lo..=hi`.
pub(super) fn round_values(lo: f64, hi: f64, about: usize) -> Vec<f64> {
    let span = hi - lo;
    if !(span.is_finite() && span > 0.0) {
        return Vec::new();
    }
    let raw = span / about.max(1) as f64;
    let exponent = raw.log10().floor() as i32;
    let power = 10f64.powi(exponent);
    let multiple = [1, 2, 5, 10].into_iter().find(|m| f64::from(*m) * power >= raw * 0.999).unwrap_or(10);
    let step = f64::from(multiple) * power;
    // The casts saturate.
    let (first, last) = ((lo / step - 1e-9).ceil() as i64, (hi / step + 1e-9).floor() as i64);
    // Dividing by a whole power of ten gives 0.3 where multiplying by 0.1 gives 0.30000000000000004.
    let exact = |k: i64| {
        let whole = k as f64 * f64::from(multiple);
        if exponent < 0 { whole / 10f64.powi(-exponent) } else { whole * power }
    };
    (first..=last).map(exact).collect()
}

/// Size of a chart and of its margins, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    /// Half of the page's width.
    pub(super) const HALF: Frame =
        Frame { width: 480.0, height: 340.0, left: 52.0, right: 16.0, top: 30.0, bottom: 46.0 };
    /// The page's width.
    pub(super) const FULL: Frame =
        Frame { width: 980.0, height: 330.0, left: 52.0, right: 16.0, top: 44.0, bottom: 46.0 };
    /// One of a row of small ones.
    pub(super) const SMALL: Frame =
        Frame { width: 310.0, height: 190.0, left: 38.0, right: 10.0, top: 14.0, bottom: 26.0 };
}

/// Where a text is held.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    /// At its beginning.
    Start,
    /// At its middle.
    Middle,
    /// At its end.
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// An SVG with title and description, open for marks in pixels.
pub(super) struct Canvas {
    out: String,
}

impl Canvas {
    /// `id` must be unique on the page.
    pub(super) fn new(id: &str, title: &str, description: &str, width: f64, height: f64) -> Canvas {
        let (id, title, description) = (escape(id), escape(title), escape(description));
        let (w, h) = (px(width), px(height));
        let out = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" \
             aria-labelledby=\"{id}-t {id}-d\"><title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{description}</desc>"
        );
        Canvas { out }
    }

    /// A decoration of a table cell that says the same in numbers: hidden from those who do not see it.
    pub(super) fn bar(width: f64, height: f64) -> Canvas {
        let (w, h) = (px(width), px(height));
        let out =
            format!("<svg class=\"bar\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" aria-hidden=\"true\">");
        Canvas { out }
    }

    /// Adds formatted, already escaped SVG.
    fn put(&mut self, text: fmt::Arguments<'_>) {
        self.out.write_fmt(text).unwrap_or_default(); // Writing to a string cannot fail.
    }

    /// A line between two points.
    pub(super) fn segment(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x1, y1, x2, y2) = (px(from.0), px(from.1), px(to.0), px(to.1));
        self.put(format_args!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"));
    }

    /// A rectangle; the tip is shown when pointed at.
    pub(super) fn rect(&mut self, class: &str, at: (f64, f64), size: (f64, f64), tip: &str) {
        self.rect_with(class, at, size, 1.0, tip);
    }

    /// A rectangle that is partly transparent.
    pub(super) fn rect_with(&mut self, class: &str, at: (f64, f64), size: (f64, f64), opacity: f64, tip: &str) {
        let (x, y, w, h) = (px(at.0), px(at.1), px(size.0.max(0.0)), px(size.1.max(0.0)));
        let opacity = if opacity < 1.0 { format!(" fill-opacity=\"{opacity:.2}\"") } else { String::new() };
        let tip = tip_of(tip);
        self.put(format_args!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"{opacity}>{tip}</rect>"
        ));
    }

    /// A text.
    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let (x, y, anchor, text) = (px(at.0), px(at.1), anchor.name(), escape(text));
        self.put(format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>"));
    }

    /// A filled circle.
    pub(super) fn circle(&mut self, class: &str, at: (f64, f64), radius: f64, tip: &str) {
        let (x, y, r, tip) = (px(at.0), px(at.1), px(radius), tip_of(tip));
        self.put(format_args!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{r}\">{tip}</circle>"));
    }

    /// A path through points, open or closed.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)], closed: bool) {
        let mut d = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            d.push(if i == 0 { 'M' } else { 'L' });
            d.push_str(&format!("{} {}", px(*x), px(*y)));
        }
        if closed {
            d.push('Z');
        }
        if !points.is_empty() {
            self.put(format_args!("<path class=\"{class}\" d=\"{d}\"/>"));
        }
    }

    /// The finished chart.
    pub(super) fn finish(mut self) -> Svg {
        self.out.push_str("</svg>");
        Svg(self.out)
    }
}

fn tip_of(tip: &str) -> String {
    if tip.is_empty() { String::new() } else { format!("<title>{}</title>", escape(tip)) }
}

/// A chart with two axes, open for marks in data coordinates.
pub(super) struct Plot {
    canvas: Canvas,
    frame: Frame,
    x: Scale,
    y: Scale,
}

impl Plot {
    /// `id` must be unique on the page.
    pub(super) fn new(id: &str, title: &str, description: &str, frame: Frame, x: Scale, y: Scale) -> Plot {
        Plot { canvas: Canvas::new(id, title, description, frame.width, frame.height), frame, x, y }
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let f = &self.frame;
        (
            f.left + self.x.share(x) * (f.width - f.left - f.right),
            f.height - f.bottom - self.y.share(y) * (f.height - f.top - f.bottom),
        )
    }

    fn right(&self) -> f64 {
        self.frame.width - self.frame.right
    }

    fn floor(&self) -> f64 {
        self.frame.height - self.frame.bottom
    }

    /// Ticks below, the label under them.
    pub(super) fn x_axis(mut self, label: &str, ticks: &[(f64, String)]) -> Plot {
        let (floor, middle) = (self.floor(), (self.frame.left + self.right()) / 2.0);
        for (x, text) in ticks {
            let (x, _) = self.at(*x, 0.0);
            self.canvas.segment("axis", (x, floor), (x, floor + 4.0));
            self.canvas.text("tick", (x, floor + 17.0), Anchor::Middle, text);
        }
        self.canvas.segment("axis", (self.frame.left, floor), (self.right(), floor));
        if !label.is_empty() {
            self.canvas.text("label", (middle, self.frame.height - 7.0), Anchor::Middle, label);
        }
        self
    }

    /// Gridlines, ticks to the left, the label above them.
    pub(super) fn y_axis(mut self, label: &str, ticks: &[(f64, String)]) -> Plot {
        let left = self.frame.left;
        for (y, text) in ticks {
            let (_, y) = self.at(0.0, *y);
            self.canvas.segment("grid", (left, y), (self.right(), y));
            self.canvas.text("tick", (left - 7.0, y + 4.0), Anchor::End, text);
        }
        if !label.is_empty() {
            self.canvas.text("label", (4.0, 14.0), Anchor::Start, label);
        }
        self
    }

    /// A line through points.
    pub(super) fn line(mut self, class: &str, points: &[(f64, f64)]) -> Plot {
        let points: Vec<_> = points.iter().map(|p| self.at(p.0, p.1)).collect();
        self.canvas.path(class, &points, false);
        self
    }

    /// The area between points and the bottom.
    pub(super) fn area(mut self, class: &str, points: &[(f64, f64)]) -> Plot {
        let mut path: Vec<_> = points.iter().map(|p| self.at(p.0, p.1)).collect();
        if let (Some(first), Some(last)) = (path.first().copied(), path.last().copied()) {
            path.push((last.0, self.floor()));
            path.push((first.0, self.floor()));
        }
        self.canvas.path(class, &path, true);
        self
    }

    /// A straight mark between two points.
    pub(super) fn segment(mut self, class: &str, from: (f64, f64), to: (f64, f64)) -> Plot {
        let (from, to) = (self.at(from.0, from.1), self.at(to.0, to.1));
        self.canvas.segment(class, from, to);
        self
    }

    /// A vertical mark through the chart, named above it.
    pub(super) fn vertical(mut self, class: &str, x: f64, text: &str) -> Plot {
        let (x, _) = self.at(x, 0.0);
        self.canvas.segment(class, (x, self.frame.top), (x, self.floor()));
        self.canvas.text("mark", (x, self.frame.top - 5.0), Anchor::Middle, text);
        self
    }

    /// A point; the tip is shown when pointed at.
    pub(super) fn dot(mut self, class: &str, at: (f64, f64), radius: f64, tip: &str) -> Plot {
        let at = self.at(at.0, at.1);
        self.canvas.circle(class, at, radius, tip);
        self
    }

    /// A text beside a point, moved by some pixels.
    pub(super) fn text(mut self, class: &str, at: (f64, f64), moved: (f64, f64), anchor: Anchor, text: &str) -> Plot {
        let (x, y) = self.at(at.0, at.1);
        self.canvas.text(class, (x + moved.0, y + moved.1), anchor, text);
        self
    }

    /// What the colours mean, in one line above the chart, held at its right.
    pub(super) fn key(mut self, entries: &[(&str, &str)]) -> Plot {
        let mut x = self.right();
        for (class, text) in entries.iter().rev() {
            x -= text_width(text);
            self.canvas.text("key", (x, 14.0), Anchor::Start, text);
            x -= 18.0;
            self.canvas.rect(class, (x, 5.0), (12.0, 10.0), "");
            x -= 14.0;
        }
        self
    }

    /// The finished chart.
    pub(super) fn finish(self) -> Svg {
        self.canvas.finish()
    }
}

/// Width of a text at the size of a key, estimated: ideographs are wide, the rest is about half of that.
fn text_width(text: &str) -> f64 {
    text.chars().map(|c| if c as u32 >= 0x2e80 { 12.5 } else { 6.6 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(round_values(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(round_values(0.0, 0.31, 3), [0.0, 0.2]);
        assert_eq!(round_values(471.0, 529.0, 6), [480.0, 490.0, 500.0, 510.0, 520.0]);
        assert_eq!(round_values(-1.0, 1.0, 4), [-1.0, -0.5, 0.0, 0.5, 1.0]);
        assert!(round_values(1.0, 1.0, 4).is_empty());
        assert!(round_values(f64::NAN, 1.0, 4).is_empty());
        let percent = Scale::Linear(0.0, 0.3).percent_ticks(3);
        assert_eq!(percent.iter().map(|t| t.1.as_str()).collect::<Vec<_>>(), ["0 %", "10 %", "20 %", "30 %"]);
        let log = Scale::Log(-8, 0).ticks(4);
        assert_eq!(log.first().map(|t| t.1.as_str()), Some("10⁻⁸"));
        assert!(log.len() <= 5);
    }

    #[test]
    fn text_cannot_leave_its_element() {
        let svg =
            Plot::new("a\"b", "</title><script>", "&", Frame::HALF, Scale::Linear(0.0, 1.0), Scale::Linear(0.0, 1.0))
                .text("label", (f64::NAN, 0.5), (0.0, 0.0), Anchor::Start, "<img onerror='x'>")
                .dot("good", (0.5, 0.5), 3.0, "</title><script>")
                .finish()
                .to_string();
        assert!(!svg.contains("<script") && !svg.contains("<img") && !svg.contains("NaN"), "{svg}");
        assert!(svg.ends_with("</svg>"));
    }
}
