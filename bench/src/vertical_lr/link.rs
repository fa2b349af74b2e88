//! A job over a slow link, computed from what each party sent, received and calculated.

use super::federation::Exchange;

/// Every party's line to the coordinator: full duplex, the same both ways.
#[derive(Clone, Copy)]
pub struct Link {
    /// Bits a second.
    pub bits: f64,
    /// Seconds one way.
    pub latency: f64,
}

impl Link {
    /// Seconds from the first exchange of `exchanges` to the end of the last. The coordinator shows the heads and the letters
    /// when all parcels are there; parties work at the same time, each on a machine of its own. With `asks`, a party fetches
    /// its letters by a request once it has seen the heads, which takes the way there and back once more.
    pub fn seconds(self, exchanges: &[Exchange], asks: bool) -> f64 {
        let way = |bytes: u64| self.latency + bytes as f64 * 8.0 / self.bits;
        let exchange = |exchange: &Exchange| {
            let turn = exchange.turns.iter().map(|turn| {
                let request = if asks && turn.fetched > 0 { 2.0 * self.latency } else { 0.0 };
                way(turn.down) + request + turn.cpu + way(turn.up)
            });
            turn.fold(0.0, f64::max) + exchange.coordinator
        };
        exchanges.iter().map(exchange).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vertical_lr::federation::Turn;

    #[test]
    fn the_slowest_party_decides() {
        let quick = Turn { cpu: 0.1, up: 1_250_000, down: 0, fetched: 1, ..Turn::default() };
        let slow = Turn { cpu: 2.0, ..Turn::default() };
        let exchange = Exchange { phase: String::new(), turns: vec![quick, slow], coordinator: 0.5 };
        let link = Link { bits: 1e7, latency: 0.05 };
        assert!((link.seconds(&[exchange], false) - 2.6).abs() < 1e-9);
        let exchange = Exchange { phase: String::new(), turns: vec![Turn { fetched: 1, ..quick }], coordinator: 0.0 };
        assert!((link.seconds(&[exchange], true) - 1.3).abs() < 1e-9);
    }
}
