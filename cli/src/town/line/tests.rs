use super::*;

fn line(text: &str) -> Line {
    text.parse().expect("a line")
}

#[test]
fn text_forms_are_read_and_written() {
    for text in ["10mbit,50ms", "1gbit,0ms", "1kbit,2000ms", "10gbit,50ms", "1500kbit,7ms"] {
        assert_eq!(line(text).to_string(), text);
    }
    assert_eq!(line(" 10mbit , 50ms ").to_string(), "10mbit,50ms");
    assert_eq!(line("2000kbit,1ms").to_string(), "2mbit,1ms");
}

#[test]
fn what_is_no_line_is_refused_and_named() {
    let refused = |text: &str| Line::from_str(text).expect_err(text);
    assert_eq!(refused("fast"), LineError::Parts("fast".to_owned()));
    assert_eq!(refused("10mbit"), LineError::Parts("10mbit".to_owned()));
    for rate in ["10", "mbit", "-1mbit", "+1mbit", "1.5mbit", "10Mbit", "10mbits", "99999999999999999999gbit", "٣mbit"]
    {
        assert_eq!(refused(&format!("{rate},50ms")), LineError::Rate(rate.to_owned()));
    }
    for delay in ["", "50", "ms", "-1ms", "0.5ms", "1s", "50ms,1ms"] {
        assert_eq!(refused(&format!("10mbit,{delay}")), LineError::Delay(delay.to_owned()));
    }
    assert_eq!(refused("0mbit,50ms"), LineError::RateBounds(0));
    assert_eq!(refused("11gbit,0ms"), LineError::RateBounds(11_000_000_000));
    assert_eq!(refused("1mbit,2001ms"), LineError::DelayBounds(Duration::from_millis(2001)));
    assert_eq!(refused("10gbit,100ms"), LineError::UnderWay(125_000_000));
    assert!(refused("0mbit,50ms").to_string().contains("1kbit to 10gbit"), "{}", refused("0mbit,50ms"));
}

/// Offers `bytes` at once, takes what arrives when it arrives; gives the time of each arrival and the most that was held.
fn run(line: Line, bytes: usize) -> (Vec<(Duration, usize)>, usize) {
    let (mut flow, mut now, mut left, mut most) = (Flow::new(line), Duration::ZERO, bytes, 0);
    let mut arrivals = Vec::new();
    while left > 0 || flow.next().is_some() {
        while left > 0 && flow.has_room() {
            let segment = left.min(line.segment());
            flow.take(now, &vec![7; segment]);
            left -= segment;
        }
        most = most.max(flow.held);
        now = now.max(flow.next().expect("something is under way"));
        if let Arrival::Bytes(bytes) = flow.arrive() {
            arrivals.push((now, bytes.len()));
        }
    }
    (arrivals, most)
}

#[test]
fn every_byte_is_late_by_the_delay_and_none_beats_the_rate() {
    for text in ["10mbit,50ms", "1mbit,0ms", "100mbit,5ms", "64kbit,300ms", "1gbit,10ms"] {
        let line = line(text);
        let total = 3 * line.most_held() + 777;
        let (arrivals, _) = run(line, total);
        let mut passed = 0;
        for (at, bytes) in &arrivals {
            passed += bytes;
            // The line had to let in all bytes up to here, and then came the delay.
            assert!(*at >= line.delay + line.time_of(passed), "{text}: {passed} bytes at {at:?}");
        }
        assert_eq!(passed, total);
        // Nor is it slower: a sender with enough to send fills the line.
        let (last, _) = arrivals.last().expect("bytes");
        let ideal = line.delay + line.time_of(total);
        assert!(*last <= ideal + Duration::from_micros(arrivals.len() as u64), "{text}: {last:?}, not {ideal:?}");
    }
    // 10 Mbit/s are 1250 bytes a millisecond.
    assert_eq!(line("10mbit,50ms").time_of(1250), Duration::from_millis(1));
}

#[test]
fn a_line_that_was_idle_saves_nothing_up() {
    let line = line("8kbit,10ms");
    let mut flow = Flow::new(line);
    flow.take(Duration::from_secs(5), &[0; 1000]);
    assert_eq!(flow.next(), Some(Duration::from_millis(6010)));
    flow.take(Duration::from_secs(5), &[0; 500]);
    flow.take(Duration::from_secs(100), &[0; 1000]);
    flow.take(Duration::from_secs(100), &[]);
    let mut times = Vec::new();
    while let Some(at) = flow.next() {
        times.push(at.as_millis());
        if matches!(flow.arrive(), Arrival::End) {
            break;
        }
    }
    assert_eq!(times, [6010, 6510, 101_010, 101_010]);
}

#[test]
fn no_more_is_held_than_is_under_way_and_a_little() {
    for text in ["10mbit,50ms", "1mbit,0ms", "1gbit,10ms"] {
        let line = line(text);
        let (_, most) = run(line, 5 * line.most_held());
        assert!(most >= line.product() as usize, "{text}: {most}");
        assert!(most <= line.product() as usize + 5 * line.segment(), "{text}: {most}");
    }
    // A receiver that takes nothing stops the sender, however much time passes.
    let mut flow = Flow::new(line("10mbit,50ms"));
    let mut taken = 0;
    while flow.has_room() {
        flow.take(Duration::from_secs(taken), &[0; 1000]);
        taken += 1;
    }
    assert!((63..=70).contains(&taken), "{taken} kB of 62.5 kB and a few segments");
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 31 + i / 251) as u8).collect()
}

async fn ends() -> (TcpListener, Relay) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let relay = Relay::start(line("1gbit,1ms"), listener.local_addr().expect("an address")).expect("a relay");
    (listener, relay)
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_arrive_unchanged_both_ways_and_half_of_a_connection_may_end() {
    let (listener, relay) = ends().await;
    let up = pattern(1_000_003);
    let down = pattern(300_001);
    let (asked, answer) = (up.clone(), down.clone());
    let far = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut got = Vec::new();
        // Ends although the other direction is still open.
        stream.read_to_end(&mut got).await.expect("bytes");
        assert!(got == asked, "{} bytes came", got.len());
        stream.write_all(&answer).await.expect("sent");
    });
    let mut near = TcpStream::connect(relay.address()).await.expect("connected");
    near.write_all(&up).await.expect("sent");
    near.shutdown().await.expect("ended");
    let mut got = Vec::new();
    near.read_to_end(&mut got).await.expect("bytes");
    assert!(got == down, "{} bytes came", got.len());
    far.await.expect("no panic");
}

/// Gives once the other side is gone, whether by an end or by a reset.
async fn gone(mut stream: TcpStream) {
    let mut buffer = [0; 64];
    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_connection_ends_both_halves() {
    let (listener, relay) = ends().await;
    let near = TcpStream::connect(relay.address()).await.expect("connected");
    let (far, _) = listener.accept().await.expect("a connection");
    // With bytes that it has not read, a socket that is closed resets its connection.
    let mut sending = near;
    sending.write_all(&[1; 64]).await.expect("sent");
    far.readable().await.expect("readable");
    drop(far);
    gone(sending).await;

    // Nobody listens any more: the relay takes the connection and gives it up.
    drop(listener);
    gone(TcpStream::connect(relay.address()).await.expect("connected")).await;

    // With the relay its connections end.
    let (listener, relay) = ends().await;
    let near = TcpStream::connect(relay.address()).await.expect("connected");
    let (far, _) = listener.accept().await.expect("a connection");
    drop(relay);
    tokio::join!(gone(near), gone(far));
}
