//! A slow line between two programs on this machine: a relay that delays every byte and lets no more through than a rate.
//!
//! It stands for the delay and the rate of a line, and for nothing else: it loses nothing, it does not vary, and connections
//! are made at once. What TCP itself does on a long line (slow start, recovery from losses) comes on top of it.

use std::{
    collections::VecDeque,
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::Instant,
};

/// Slowest and fastest line, in bits a second.
const RATES: [u64; 2] = [1_000, 10_000_000_000];
/// Longest delay each way.
const MAX_DELAY: Duration = Duration::from_secs(2);
/// Bytes under way in one direction, at most.
const MAX_UNDER_WAY: u64 = 64 << 20;
/// Bytes that are passed on at once: what the line carries in a millisecond, within these bounds.
const SEGMENT: [u64; 2] = [1_500, 64 << 10];

/// Rate and delay of a line, each way. As text: `10mbit,50ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    bits_per_second: u64,
    delay: Duration,
}

/// Why a text is no line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// It is not a rate and a delay.
    Parts(String),
    /// The rate cannot be read.
    Rate(String),
    /// The rate is out of bounds.
    RateBounds(u64),
    /// The delay cannot be read.
    Delay(String),
    /// The delay is too long.
    DelayBounds(Duration),
    /// Rate and delay together put more bytes under way than the relay holds.
    UnderWay(u64),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::Parts(text) => write!(f, "{text:?} is not a rate and a delay; write for example 10mbit,50ms"),
            LineError::Rate(text) => {
                write!(f, "{text:?} is not a rate; write a whole number and kbit, mbit or gbit, for example 10mbit")
            }
            LineError::RateBounds(rate) => {
                let [least, most] = RATES.map(rate_text);
                write!(f, "a rate of {} is out of bounds; give {least} to {most}", rate_text(*rate))
            }
            LineError::Delay(text) => {
                write!(f, "{text:?} is not a delay; write a whole number and ms, for example 50ms")
            }
            LineError::DelayBounds(delay) => {
                write!(f, "a delay of {} ms is too long; give at most {} ms", delay.as_millis(), MAX_DELAY.as_millis())
            }
            LineError::UnderWay(bytes) => write!(
                f,
                "such a line has {bytes} bytes under way, more than {MAX_UNDER_WAY}; lower the rate or the delay"
            ),
        }
    }
}

impl std::error::Error for LineError {}

fn rate_text(bits: u64) -> String {
    let units = [(1_000_000_000, "gbit"), (1_000_000, "mbit"), (1_000, "kbit")];
    let unit = units.iter().find(|(size, _)| bits > 0 && bits.is_multiple_of(*size));
    unit.map_or_else(|| format!("{bits}bit"), |(size, name)| format!("{}{name}", bits / size))
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}ms", rate_text(self.bits_per_second), self.delay.as_millis())
    }
}

impl FromStr for Line {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let (rate, delay) = text.split_once(',').ok_or_else(|| LineError::Parts(text.to_owned()))?;
        let (rate, delay) = (rate.trim(), delay.trim());
        let units = [("kbit", 1_000), ("mbit", 1_000_000), ("gbit", 1_000_000_000)];
        let read = |(unit, size): &(&str, u64)| whole(rate.strip_suffix(unit)?)?.checked_mul(*size);
        let bits = units.iter().find_map(read).ok_or_else(|| LineError::Rate(rate.to_owned()))?;
        let wait = delay.strip_suffix("ms").and_then(whole).map(Duration::from_millis);
        Line::new(bits, wait.ok_or_else(|| LineError::Delay(delay.to_owned()))?)
    }
}

fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl Line {
    /// A line of so many bits a second and so much delay, each way.
    ///
    /// # Errors
    /// [`LineError`] if one of them, or both together, are out of bounds.
    pub fn new(bits_per_second: u64, delay: Duration) -> Result<Self, LineError> {
        if !(RATES[0]..=RATES[1]).contains(&bits_per_second) {
            return Err(LineError::RateBounds(bits_per_second));
        }
        if delay > MAX_DELAY {
            return Err(LineError::DelayBounds(delay));
        }
        let line = Self { bits_per_second, delay };
        match line.product() {
            bytes if bytes > MAX_UNDER_WAY => Err(LineError::UnderWay(bytes)),
            _ => Ok(line),
        }
    }

    /// Rate times delay, in bytes.
    fn product(&self) -> u64 {
        (u128::from(self.bits_per_second) * self.delay.as_nanos() / 8_000_000_000) as u64
    }

    /// How long the line takes to let `bytes` in.
    fn time_of(&self, bytes: usize) -> Duration {
        let nanoseconds = (bytes as u128 * 8_000_000_000).div_ceil(u128::from(self.bits_per_second));
        Duration::from_nanos(nanoseconds as u64)
    }

    fn segment(&self) -> usize {
        (self.bits_per_second / 8_000).clamp(SEGMENT[0], SEGMENT[1]) as usize
    }

    /// Bytes that the relay holds in one direction: rate times delay, and a few segments that keep the line busy.
    fn most_held(&self) -> usize {
        self.product() as usize + 4 * self.segment()
    }
}

/// What is under way in one direction. Times count from its beginning.
struct Flow {
    line: Line,
    /// When the line can take the next byte.
    free: Duration,
    /// Segments and when they arrive, in order.
    under_way: VecDeque<(Duration, Vec<u8>)>,
    held: usize,
    /// When the end arrives, once the sender has ended.
    end: Option<Duration>,
}

/// What arrives next.
enum Arrival {
    Bytes(Vec<u8>),
    End,
}

impl Flow {
    fn new(line: Line) -> Self {
        Self { line, free: Duration::ZERO, under_way: VecDeque::new(), held: 0, end: None }
    }

    /// True if the sender may go on.
    fn has_room(&self) -> bool {
        self.end.is_none() && self.held < self.line.most_held()
    }

    /// Takes what the sender hands over at `now`; no bytes are its end.
    fn take(&mut self, now: Duration, bytes: &[u8]) {
        self.free = self.free.max(now) + self.line.time_of(bytes.len());
        let arrives = self.free + self.line.delay;
        if bytes.is_empty() {
            self.end = Some(arrives);
        } else {
            self.held += bytes.len();
            self.under_way.push_back((arrives, bytes.to_vec()));
        }
    }

    /// When something arrives next.
    fn next(&self) -> Option<Duration> {
        self.under_way.front().map(|(arrives, _)| *arrives).or(self.end)
    }

    /// What arrives next, however late it is.
    fn arrive(&mut self) -> Arrival {
        match self.under_way.pop_front() {
            Some((_, bytes)) => {
                self.held -= bytes.len();
                Arrival::Bytes(bytes)
            }
            None => Arrival::End,
        }
    }
}

/// Carries one direction to its end.
async fn pump(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, line: Line) -> io::Result<()> {
    let begun = Instant::now();
    let mut flow = Flow::new(line);
    let mut segment = vec![0; line.segment()];
    loop {
        let next = flow.next();
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(begun + next.unwrap_or_default()), if next.is_some() => match flow.arrive() {
                Arrival::Bytes(bytes) => to.write_all(&bytes).await?,
                Arrival::End => return to.shutdown().await,
            },
            read = from.read(&mut segment), if flow.has_room() => {
                let bytes = read?;
                flow.take(begun.elapsed(), &segment[..bytes]);
            }
        }
    }
}

/// Carries one connection until both directions have ended, or one of them broke: then both are closed.
async fn carry(mut near: TcpStream, line: Line, to: SocketAddr) -> io::Result<()> {
    let mut far = TcpStream::connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let ((near_out, near_in), (far_out, far_in)) = (near.split(), far.split());
    tokio::try_join!(pump(near_out, far_in, line), pump(far_out, near_in, line))?;
    Ok(())
}

async fn accept(listener: TcpListener, line: Line, to: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((near, _)) => drop(connections.spawn(carry(near, line, to))),
                // Too many open files, for example: some of them are closed sooner or later.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A relay on this machine; it and its connections end when it is dropped.
pub struct Relay {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl Relay {
    /// Starts a relay to `to` on a free port of 127.0.0.1. To be called inside a Tokio runtime.
    pub fn start(line: Line, to: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(TcpListener::from_std(listener)?, line, to)).abort_handle();
        Ok(Self { address, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[cfg(test)]
mod tests;
