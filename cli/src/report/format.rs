//! Numbers as people read them. A value that is not finite is a dash, never `NaN`.

/// What stands where there is no number.
pub(super) const DASH: &str = "–";

/// A fixed number of decimals, with a true minus sign.
pub(super) fn fixed(x: f64, decimals: usize) -> String {
    if !x.is_finite() {
        return DASH.to_owned();
    }
    let text = format!("{:.*}", decimals, x.abs());
    let zero = text.bytes().all(|b| b == b'0' || b == b'.');
    if x < 0.0 && !zero { format!("\u{2212}{text}") } else { text }
}

/// The same with a sign also where it is positive.
pub(super) fn signed(x: f64, decimals: usize) -> String {
    let text = fixed(x, decimals);
    if x > 0.0 && x.is_finite() { format!("+{text}") } else { text }
}

/// A whole number with separated thousands.
pub(super) fn count(x: f64) -> String {
    if !x.is_finite() {
        return DASH.to_owned();
    }
    let digits = format!("{:.0}", x.abs());
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 3);
    if x <= -0.5 {
        text.push('\u{2212}');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A whole number of things.
pub(super) fn whole(x: u64) -> String {
    count(x as f64)
}

/// A share of one as a percentage.
pub(super) fn percent(x: f64, decimals: usize) -> String {
    if x.is_finite() { format!("{} %", fixed(100.0 * x, decimals)) } else { DASH.to_owned() }
}

/// A p-value.
pub(super) fn p_value(p: f64) -> String {
    if p.is_finite() && p < 0.0001 { "< 0.0001".to_owned() } else { fixed(p, 4) }
}

/// Bytes in decimal units.
pub(super) fn bytes(n: u64) -> String {
    let x = n as f64;
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{} kB", fixed(x / 1e3, 1)),
        1_000_000..1_000_000_000 => format!("{} MB", fixed(x / 1e6, 1)),
        _ => format!("{} GB", fixed(x / 1e9, 2)),
    }
}

/// Seconds as a duration.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return DASH.to_owned();
    }
    // The cast saturates.
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{} s", fixed(seconds, 2)),
        10..120 => format!("{} s", fixed(seconds, 1)),
        120..7_200 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3_600, whole / 60 % 60),
    }
}

/// A cut point or another value from the data: at most six significant digits.
pub(super) fn value(x: f64) -> String {
    if !x.is_finite() {
        return DASH.to_owned();
    }
    let size = x.abs();
    if size != 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{x:.3e}").replace('-', "\u{2212}");
    }
    let before = if size < 1.0 { 0 } else { size.log10().floor() as usize + 1 };
    if before >= 6 || x == x.trunc() {
        return count(x);
    }
    let text = fixed(x, (6 - before).min(8));
    let (integer, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let integer = integer.strip_prefix('\u{2212}').unwrap_or(integer);
    let sign = if x < 0.0 { "\u{2212}" } else { "" };
    let integer = count(integer.parse().unwrap_or(f64::NAN));
    match decimals.trim_end_matches('0') {
        "" => format!("{sign}{integer}"),
        decimals => format!("{sign}{integer}.{decimals}"),
    }
}

/// A power of ten for a logarithmic axis.
pub(super) fn power_of_ten(exponent: i32) -> String {
    match exponent {
        0 => "1".to_owned(),
        1 => "10".to_owned(),
        _ => {
            let superscript = |c: char| match c {
                '-' => '⁻',
                '1' => '¹',
                '2' => '²',
                '3' => '³',
                // The other superscript digits are consecutive.
                _ => c.to_digit(10).and_then(|d| char::from_u32(0x2070 + d)).unwrap_or(c),
            };
            format!("10{}", exponent.to_string().chars().map(superscript).collect::<String>())
        }
    }
}

/// An RFC 3339 time in a form for people; anything else as it is.
pub(super) fn time(text: &str) -> String {
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(fixed(-0.00001, 3), "0.000");
        assert_eq!(fixed(-1.5, 1), "\u{2212}1.5");
        assert_eq!(fixed(f64::NAN, 3), DASH);
        assert_eq!(signed(0.25, 2), "+0.25");
        assert_eq!(count(1_234_567.0), "1,234,567");
        assert_eq!(count(999.0), "999");
        assert_eq!(count(-1_000.0), "\u{2212}1,000");
        assert_eq!(percent(0.1234, 1), "12.3 %");
        assert_eq!(p_value(1e-9), "< 0.0001");
        assert_eq!(bytes(1_234_567), "1.2 MB");
        assert_eq!(duration(3.456), "3.46 s");
        assert_eq!(duration(200.0), "3 min 20 s");
        assert_eq!(duration(9_000.0), "2 h 30 min");
        assert_eq!(value(71.000_000_1), "71");
        assert_eq!(value(-0.125), "\u{2212}0.125");
        assert_eq!(value(12_345.678_9), "12,345.7");
        assert_eq!(value(250_000.0), "250,000");
        assert_eq!(power_of_ten(-12), "10⁻¹²");
        assert_eq!(power_of_ten(4), "10⁴");
        assert_eq!(time("2026-11-21T23:17:51Z"), "2026-11-21 23:17:51 UTC");
        assert_eq!(time("<b>"), "<b>");
    }
}
