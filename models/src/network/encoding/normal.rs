//! Quantiles of the standard normal distribution.

/// The `p`-quantile, for `p` in 1e-10 to 1 - 1e-10 (moved there if outside), to about 1e-15: Wichura 1988, algorithm AS 241, PPND16
/// without the branch of the far tails.
pub(super) fn quantile(p: f64) -> f64 {
    let p = p.clamp(1e-10, 1.0 - 1e-10);
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * polynomial(&CENTRE.0, r) / polynomial(&CENTRE.1, r);
    }
    let r = libm::sqrt(-libm::log(if q < 0.0 { p } else { 1.0 - p })) - 1.6;
    let size = polynomial(&TAIL.0, r) / polynomial(&TAIL.1, r);
    if q < 0.0 { -size } else { size }
}

/// Lowest power first.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, c| sum * x + c)
}

#[allow(clippy::excessive_precision, reason = "as published")]
const CENTRE: ([f64; 8], [f64; 8]) = (
    [
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ],
    [
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ],
);

#[allow(clippy::excessive_precision, reason = "as published")]
const TAIL: ([f64; 8], [f64; 8]) = (
    [
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ],
    [
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ],
);

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_invert_the_distribution() {
        let below = |z: f64| libm::erfc(-z / core::f64::consts::SQRT_2) / 2.0;
        for i in 1..20_000 {
            let p = f64::from(i) / 20_000.0;
            let z = quantile(p);
            assert!((below(z) - p).abs() < 1e-14, "{p} -> {z}");
            assert!((z + quantile(1.0 - p)).abs() < 1e-11, "{p}");
        }
        for (p, z) in [(1e-4, -3.719016485455709), (0.01, -2.3263478740408408), (0.995, 2.5758293035489004)] {
            assert!((quantile(p) - z).abs() < 1e-13, "{p}");
        }
        assert_eq!(quantile(0.5), 0.0);
        assert!(quantile(-1.0).is_finite() && quantile(2.0).is_finite() && quantile(1e-9) < -5.99);
    }
}
