//! What a link does with packets, one by one.

use std::net::Ipv4Addr;

use bytes::Bytes;
use proptest::prelude::*;
use turmoil_net::{TcpFlags, TcpSegment, UdpDatagram};

use super::*;

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

fn links(latency: Span, loss: f64) -> Links {
    Links::new(Seed(1), latency, loss, &[("a".into(), A), ("b".into(), B)])
}

fn segment(seq: u32) -> Packet {
    let flags = TcpFlags { ack: true, ..TcpFlags::default() };
    let segment =
        TcpSegment { src_port: 1, dst_port: 2, seq, ack: 0, flags, window: 0, payload: Bytes::new() };
    Packet { src: A, dst: B, ttl: 64, payload: Transport::Tcp(segment) }
}

fn seq(packet: &Packet) -> u32 {
    match &packet.payload {
        Transport::Tcp(segment) => segment.seq,
        Transport::Udp(_) => panic!("no datagrams here"),
    }
}

/// Sends segments at the given milliseconds, retries as asked, and returns arrivals in order.
fn run(
    links: &mut Links,
    sent_ms: &[u64],
    events: &mut dyn FnMut(&mut Links, Duration) -> Vec<Fate>,
) -> Vec<(Duration, u32)> {
    let mut arrivals = Vec::new();
    let mut retries: BTreeMap<Duration, Vec<(FlowKey, Try)>> = BTreeMap::new();
    let end = Duration::from_secs(2_000);
    let mut now = Duration::ZERO;
    while now < end {
        let mut fates = events(links, now);
        for (index, _) in sent_ms.iter().enumerate().filter(|(_, at)| Duration::from_millis(**at) == now) {
            fates.push(links.send(now, segment(u32::try_from(index).unwrap())));
        }
        for (key, due) in retries.remove(&now).unwrap_or_default() {
            fates.extend(links.retry(now, key, due));
        }
        for fate in fates {
            match fate {
                Fate::Arrives(at, packet) => arrivals.push((at, seq(&packet))),
                Fate::Twice(..) => panic!("a segment arrives once"),
                Fate::Retry(at, key, due) => retries.entry(at).or_default().push((key, due)),
                Fate::Waits => {}
                Fate::Reset(_) => arrivals.push((now, u32::MAX)),
            }
        }
        now += Duration::from_millis(1);
        if retries.is_empty()
            && sent_ms.iter().all(|at| Duration::from_millis(*at) < now)
            && now > Duration::from_secs(30)
        {
            break;
        }
    }
    arrivals
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_flow_keeps_its_order_and_loses_nothing(
        mut sent in proptest::collection::vec(0_u64..2_000, 1..40),
        loss in 0.0_f64..0.5,
        jitter in 1_u64..200,
    ) {
        sent.sort_unstable();
        let mut links = links(Span::millis(1, jitter), loss);
        let arrivals = run(&mut links, &sent, &mut |_, _| Vec::new());
        let order: Vec<u32> = arrivals.iter().map(|(_, seq)| *seq).collect();
        prop_assert_eq!(order, (0..u32::try_from(sent.len()).unwrap()).collect::<Vec<_>>());
        prop_assert!(arrivals.is_sorted_by_key(|(at, _)| *at));
        for (at, seq) in &arrivals {
            prop_assert!(*at > Duration::from_millis(sent[*seq as usize]), "nothing arrives before it was sent");
        }
    }
}

#[test]
fn a_cut_is_tried_again_with_backed_off_timeouts() {
    let mut links = links(Span::millis(2, 2), 0.0);
    let arrivals = run(&mut links, &[1, 5_000], &mut |links, now| {
        match now.as_millis() {
            0 => links.impair(now, 0, 1, Impairment::Cut),
            8_000 => return links.repair(now, 0, 1, Impairment::Cut),
            _ => {}
        }
        Vec::new()
    });
    // Tries at 0.2, 0.6, 1.4, 3.0, 6.2 and 12.6 s after the first; the later segment goes with it.
    let at = Duration::from_millis(1 + 12_600 + 2);
    assert_eq!(arrivals, [(at, 0), (at, 1)]);
}

#[test]
fn a_hold_lets_everything_go_at_its_end() {
    let mut links = links(Span::millis(2, 2), 0.0);
    let arrivals = run(&mut links, &[1, 2, 3], &mut |links, now| {
        match now.as_millis() {
            0 => links.impair(now, 0, 1, Impairment::Hold),
            500 => return links.repair(now, 0, 1, Impairment::Hold),
            _ => {}
        }
        Vec::new()
    });
    let at = Duration::from_millis(502);
    assert_eq!(arrivals, [(at, 0), (at, 1), (at, 2)]);
}

#[test]
fn a_cut_that_outlasts_the_user_timeout_resets_the_flow() {
    let mut links = links(Span::millis(2, 2), 0.0);
    links.impair(Duration::ZERO, 0, 1, Impairment::Cut);
    let arrivals = run(&mut links, &[1], &mut |_, _| Vec::new());
    let [(at, u32::MAX)] = arrivals[..] else { panic!("{arrivals:?}") };
    assert!(at >= USER_TIMEOUT && at < USER_TIMEOUT + RTO_MAX, "{at:?}");
}

#[test]
fn a_datagram_is_lost_in_a_cut_and_never_sent_again() {
    let datagram = |port| {
        let datagram = UdpDatagram { src_port: 1, dst_port: port, payload: Bytes::new() };
        Packet { src: A, dst: B, ttl: 64, payload: Transport::Udp(datagram) }
    };
    let mut links = links(Span::millis(2, 2), 0.0);
    assert!(matches!(links.send(Duration::ZERO, datagram(2)), Fate::Arrives(at, _) if at.as_millis() == 2));
    links.impair(Duration::ZERO, 0, 1, Impairment::Cut);
    assert!(matches!(links.send(Duration::ZERO, datagram(2)), Fate::Waits));
    assert!(links.repair(Duration::from_secs(1), 0, 1, Impairment::Cut).is_empty());
}

#[test]
fn a_one_way_cut_leaves_the_way_back_open() {
    let mut links = links(Span::millis(2, 2), 0.0);
    links.impair(Duration::ZERO, 1, 0, Impairment::Cut);
    assert!(matches!(links.send(Duration::ZERO, segment(0)), Fate::Arrives(..)));
}

#[test]
fn a_try_that_was_due_before_a_hold_ended_is_overtaken() {
    let mut links = links(Span::millis(2, 2), 0.0);
    let (key, ms) = (flow_key(&segment(0)).unwrap(), Duration::from_millis);
    links.impair(ms(0), 0, 1, Impairment::Cut);
    let Fate::Retry(_, _, first) = links.send(ms(0), segment(0)) else { panic!("it waits") };
    links.impair(ms(100), 0, 1, Impairment::Hold);
    links.repair(ms(120), 0, 1, Impairment::Cut);
    assert!(matches!(links.repair(ms(150), 0, 1, Impairment::Hold)[..], [Fate::Arrives(..)]));
    links.impair(ms(160), 0, 1, Impairment::Cut);
    let Fate::Retry(_, _, second) = links.send(ms(160), segment(1)) else { panic!("it waits") };
    assert!(links.retry(ms(200), key, first).is_empty());
    assert!(matches!(links.retry(ms(360), key, second)[..], [Fate::Retry(..)]));
}

#[test]
fn the_time_of_a_hold_counts_for_no_timeout() {
    let mut links = links(Span::millis(2, 2), 0.0);
    let s = Duration::from_secs;
    links.impair(s(0), 0, 1, Impairment::Cut);
    let Fate::Retry(..) = links.send(s(0), segment(0)) else { panic!("it waits") };
    links.impair(s(10), 0, 1, Impairment::Hold);
    let after = links.repair(s(2_000), 0, 1, Impairment::Hold);
    assert!(matches!(after[..], [Fate::Retry(..)]), "{after:?}");
    assert_eq!(links.flows.values().next().unwrap().since, s(1_990));
}

#[test]
fn what_a_dead_machine_was_sent_is_sent_again_in_order() {
    let mut links = links(Span::millis(2, 2), 0.0);
    let ms = Duration::from_millis;
    links.impair(ms(0), 0, 1, Impairment::Cut);
    links.send(ms(0), segment(2));
    links.repair(ms(0), 0, 1, Impairment::Cut);
    assert!(links.lose(ms(1), vec![segment(0), segment(1)]).is_empty(), "a try is due already");
    links.forget(B);
    let (key, due) = links.flows.iter().map(|(key, flow)| (*key, flow.due.unwrap())).next().unwrap();
    let order: Vec<_> = links
        .retry(ms(200), key, due)
        .iter()
        .map(|fate| match fate {
            Fate::Arrives(_, packet) => seq(packet),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, [0, 1, 2]);
    links.send(ms(300), segment(3));
    assert!(matches!(links.lose(ms(301), vec![segment(3)])[..], [Fate::Retry(..)]));
    links.forget(A);
    assert!(links.flows.is_empty());
}

#[test]
fn datagrams_are_doubled_and_segments_are_not() {
    let mut links = links(Span::millis(2, 2), 0.0);
    links.impair(Duration::ZERO, 0, 1, Impairment::Duplicate(1.0));
    let datagram = UdpDatagram { src_port: 1, dst_port: 2, payload: Bytes::new() };
    let packet = Packet { src: A, dst: B, ttl: 64, payload: Transport::Udp(datagram) };
    assert!(matches!(links.send(Duration::ZERO, packet), Fate::Twice(..)));
    assert!(matches!(links.send(Duration::ZERO, segment(0)), Fate::Arrives(..)));
}

#[test]
fn a_jitter_that_is_over_leaves_the_link_as_if_it_had_never_been() {
    let arrivals = |jitter: bool| -> Vec<Duration> {
        let mut links = links(Span::millis(1, 100), 0.0);
        let send = |links: &mut Links, second: u32| match links
            .send(Duration::from_secs(1) * second, segment(second))
        {
            Fate::Arrives(at, _) => at,
            other => panic!("{other:?}"),
        };
        let mut arrivals = vec![send(&mut links, 0)];
        let most = Impairment::Jitter(Duration::from_millis(500));
        if jitter {
            links.impair(Duration::from_millis(1), 0, 1, most);
        }
        arrivals.push(send(&mut links, 1));
        if jitter {
            links.repair(Duration::from_millis(1_500), 0, 1, most);
        }
        arrivals.extend((2..5).map(|second| send(&mut links, second)));
        arrivals
    };
    let (calm, jittery) = (arrivals(false), arrivals(true));
    assert_ne!(calm[1], jittery[1]);
    assert_eq!(calm[2..], jittery[2..]);
}
