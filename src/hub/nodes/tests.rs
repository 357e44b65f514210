//! Scenarios of nodes that die, sleep and are asked, in simulated time.

use super::*;

const HOME: u32 = 1;

fn key(node: u16) -> DeviceKey {
    DeviceKey::Zwave { home: HOME, node }
}

fn s(seconds: u64) -> Mono {
    Mono(seconds * 1000)
}

/// Nodes that listen, all alive.
fn network(count: u16, listens: Listening) -> Nodes {
    let mut nodes = Nodes::default();
    for node in 1..=count {
        let description = Description { listens: Some(listens), ..Description::default() };
        nodes.watch(key(node), &description, true, s(0));
        nodes.status(key(node), NodeStatus::Alive, s(0));
    }
    assert_eq!(judge(&mut nodes, s(0)), (Vec::new(), Vec::new()));
    nodes
}

fn judge(nodes: &mut Nodes, now: Mono) -> (Vec<Verdict>, Vec<Action>) {
    let (mut verdicts, mut actions) = (Vec::new(), Vec::new());
    nodes.judge(now, &mut verdicts, &mut actions);
    (verdicts, actions)
}

/// Judges at every wake-up until `end`.
fn run(nodes: &mut Nodes, end: Mono) -> Vec<(Mono, Vec<Verdict>, Vec<Action>)> {
    let mut told = Vec::new();
    while let Some(at) = nodes.wake_at().filter(|at| *at <= end) {
        let (verdicts, actions) = judge(nodes, at);
        assert!(nodes.wake_at().is_none_or(|next| next > at), "judged at {at:?}, due again at {:?}", nodes.wake_at());
        if !verdicts.is_empty() || !actions.is_empty() {
            told.push((at, verdicts, actions));
        }
    }
    told
}

#[test]
fn a_node_that_dies_alone_is_told_once_another_has_answered() {
    let mut nodes = network(4, Listening::Often);
    nodes.status(key(2), NodeStatus::Dead, s(10));
    let (verdicts, asked) = judge(&mut nodes, s(10));
    assert!(verdicts.is_empty());
    assert_eq!(asked, [1, 3, 4].map(|node| Action::Ping { device: key(node) }));
    nodes.heard(key(3), s(11));
    assert_eq!(judge(&mut nodes, s(11)).0, []);
    assert_eq!(run(&mut nodes, s(30)), [(s(12), vec![(key(2), Some(ErrorCode::DeviceDisconnected))], vec![])]);
}

#[test]
fn a_death_that_nobody_answers_to_is_told_when_the_others_have_had_their_time() {
    let mut nodes = network(4, Listening::Often);
    nodes.status(key(2), NodeStatus::Dead, s(10));
    assert_eq!(judge(&mut nodes, s(10)).0, []);
    let told = run(&mut nodes, s(60)).into_iter().find(|(_, verdicts, _)| !verdicts.is_empty());
    assert_eq!(told, Some((s(15), vec![(key(2), Some(ErrorCode::DeviceDisconnected))], vec![])));
}

#[test]
fn when_all_die_at_once_it_is_the_stick_and_each_is_told_once() {
    let mut nodes = network(4, Listening::Often);
    let mut told = Vec::new();
    for node in 1..=4 {
        nodes.status(key(node), NodeStatus::Dead, s(10 + u64::from(node)));
        told.extend(judge(&mut nodes, s(10 + u64::from(node))).0);
    }
    told.extend(run(&mut nodes, s(60)).into_iter().flat_map(|(_, verdicts, _)| verdicts));
    assert_eq!(told, [1, 2, 3, 4].map(|node| (key(node), Some(ErrorCode::HubDisconnected))));
    nodes.status(key(1), NodeStatus::Alive, s(70));
    assert_eq!(judge(&mut nodes, s(70)).0, [(key(1), None)]);
}

#[test]
fn the_only_node_of_a_network_dies_by_itself() {
    let mut nodes = network(1, Listening::Always);
    nodes.status(key(1), NodeStatus::Dead, s(10));
    assert_eq!(run(&mut nodes, s(30)), [(s(12), vec![(key(1), Some(ErrorCode::DeviceDisconnected))], vec![])]);
}

#[test]
fn a_death_taken_back_at_once_is_not_told() {
    let mut nodes = network(4, Listening::Often);
    nodes.status(key(2), NodeStatus::Dead, s(10));
    assert!(judge(&mut nodes, s(10)).0.is_empty());
    nodes.status(key(2), NodeStatus::Alive, s(12));
    nodes.heard(key(3), s(13));
    assert!(judge(&mut nodes, s(13)).0.is_empty());
}

#[test]
fn a_sleeping_node_is_there_until_it_misses_its_wake_ups() {
    let mut nodes = Nodes::default();
    let description =
        Description { listens: Some(Listening::Sleeps), wake_up_interval_s: Some(3600), ..Description::default() };
    nodes.watch(key(6), &description, false, s(0));
    nodes.status(key(6), NodeStatus::Asleep, s(0));
    assert_eq!(judge(&mut nodes, s(0)).0, [(key(6), None)]);
    nodes.status(key(6), NodeStatus::Awake, s(3600));
    nodes.status(key(6), NodeStatus::Asleep, s(3601));
    let told = run(&mut nodes, s(20_000));
    assert_eq!(told, [(s(3601 + 9000), vec![(key(6), Some(ErrorCode::DeviceDisconnected))], vec![])]);
    nodes.status(key(6), NodeStatus::Awake, s(20_001));
    assert_eq!(judge(&mut nodes, s(20_001)).0, [(key(6), None)]);
}

#[test]
fn pings_come_one_at_a_time_and_none_while_the_bridge_is_down() {
    let mut nodes = network(20, Listening::Always);
    let pings: Vec<(Mono, usize)> =
        run(&mut nodes, s(20 * 60)).into_iter().map(|(at, _, actions)| (at, actions.len())).collect();
    assert_eq!(pings.len(), 20);
    assert!(pings.iter().all(|(_, n)| *n == 1), "{pings:?}");
    assert!(pings.windows(2).all(|w| w[1].0 - w[0].0 >= PING_APART), "{pings:?}");
    nodes.bridge(HOME, false, s(20 * 60));
    assert_eq!(run(&mut nodes, s(90 * 60)), []);
    nodes.bridge(HOME, true, s(90 * 60));
    nodes.status(key(1), NodeStatus::Alive, s(90 * 60));
    assert_eq!(judge(&mut nodes, s(90 * 60)).0, [(key(1), None)]);
}

#[test]
fn a_restored_node_is_not_taken_for_present_before_the_driver_says_so() {
    let mut nodes = Nodes::default();
    nodes.watch(key(2), &Description::default(), false, s(0));
    assert_eq!(judge(&mut nodes, s(0)).0, []);
    nodes.heard(key(2), s(1));
    assert_eq!(judge(&mut nodes, s(1)).0, [(key(2), None)]);
}
