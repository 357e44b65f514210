//! A network whose cable can be pulled: the third node of a cluster behind a pair of virtual interfaces, where this user may make them
//! (root); elsewhere the node is halted, which looks the same from outside but is not seen by itself.
#![allow(dead_code)]

use std::process::Command;

use super::cluster::{Cluster, Place};

/// Which node is behind the cable.
const NODE: usize = 2;

pub struct Network {
    /// The namespace, and the interface in it; `None` where there is none.
    cable: Option<(String, String)>,
    subnet: u32,
}

fn ip(arguments: &str) -> bool {
    Command::new("ip").args(arguments.split(' ')).output().is_ok_and(|done| done.status.success())
}

impl Network {
    pub fn new() -> Network {
        let id = std::process::id();
        let (space, here, there) = (format!("fleet-{id}"), format!("fl{id}a"), format!("fl{id}b"));
        let subnet = id % 250;
        let mut network = Network { cable: None, subnet };
        if !ip(&format!("netns add {space}")) {
            eprintln!("no network namespaces here: the node is halted instead of cut off");
            return network;
        }
        network.cable = Some((space.clone(), there.clone()));
        for step in [
            format!("link add {here} type veth peer name {there}"),
            format!("link set {there} netns {space}"),
            format!("addr add 10.213.{subnet}.1/30 dev {here}"),
            format!("link set {here} up"),
            format!("-n {space} addr add 10.213.{subnet}.2/30 dev {there}"),
            format!("-n {space} link set {there} up"),
            format!("-n {space} link set lo up"),
        ] {
            assert!(ip(&step), "ip {step}");
        }
        network
    }

    pub fn places(&self) -> Vec<Place> {
        let Some((space, _)) = &self.cable else { return vec![Place::here(); 3] };
        let here = Place { host: format!("10.213.{}.1", self.subnet), namespace: None };
        let there = Place { host: format!("10.213.{}.2", self.subnet), namespace: Some(space.clone()) };
        vec![here.clone(), here, there]
    }

    pub fn cut(&self, cluster: &Cluster) {
        match &self.cable {
            Some((space, there)) => assert!(ip(&format!("-n {space} link set {there} down"))),
            None => cluster.halt_node(NODE, true),
        }
    }

    pub fn heal(&self, cluster: &Cluster) {
        match &self.cable {
            Some((space, there)) => assert!(ip(&format!("-n {space} link set {there} up"))),
            None => cluster.halt_node(NODE, false),
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some((space, _)) = &self.cable {
            // The interfaces go with it.
            ip(&format!("netns del {space}"));
        }
    }
}
