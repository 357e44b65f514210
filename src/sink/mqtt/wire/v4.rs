//! MQTT 3.1.1 over rumqttc. No reason codes, no limits told: what the broker dislikes it closes the connection for.

use rumqttc::{
    ConnectReturnCode, ConnectionError, Error, Event, Incoming, LastWill, MqttOptions, Outgoing, QoS, StateError,
    SubscribeReasonCode,
};

use super::{Arrival, Broken, Entry, Happened, INCOMING_MOST, LOGIN_REMEDY, OFFLINE, Receipt, Role, Settings, Verdict};

/// The largest packet that MQTT knows; rumqttc's own default is 10 kB.
const OUTGOING_MOST: usize = 268_435_455;

pub fn options(settings: &Settings, role: &Role, entry: &Entry) -> MqttOptions {
    let mut options = MqttOptions::new(&role.client_id, &settings.host, settings.port);
    options
        .set_transport(entry.transport.clone())
        .set_keep_alive(settings.pace.keep_alive)
        .set_clean_session(role.kept.is_none())
        .set_max_packet_size(INCOMING_MOST as usize, OUTGOING_MOST)
        .set_manual_acks(true)
        .set_inflight(settings.pace.window);
    if let Some(will) = &role.will {
        options.set_last_will(LastWill::new(will, OFFLINE, QoS::AtLeastOnce, true));
    }
    if let Some((user, password)) = &entry.login {
        options.set_credentials(user, password);
    }
    options
}

pub fn happened(event: Event) -> Happened {
    match event {
        Event::Incoming(Incoming::ConnAck(_)) => Happened::Connected { receive_most: u16::MAX, packet_most: None },
        Event::Incoming(Incoming::SubAck(ack)) => {
            Happened::Subscribed(ack.return_codes.iter().all(|code| *code != SubscribeReasonCode::Failure))
        }
        Event::Incoming(Incoming::Publish(publish)) => Happened::Arrived(Box::new(Arrival {
            topic: publish.topic.clone(),
            payload: publish.payload.to_vec(),
            retain: publish.retain,
            response_topic: None,
            correlation: None,
            receipt: Receipt::V4(publish),
        })),
        Event::Outgoing(Outgoing::Publish(id)) => Happened::Sent(id),
        Event::Incoming(Incoming::PubAck(ack)) => Happened::Acknowledged(ack.pkid, Verdict::Taken),
        Event::Outgoing(Outgoing::PingReq) => Happened::PingSent,
        Event::Incoming(Incoming::PingResp) => Happened::PingAnswered,
        _ => Happened::Nothing,
    }
}

pub fn broken(error: ConnectionError) -> Broken {
    match error {
        ConnectionError::ConnectionRefused(code) => {
            let remedy = match code {
                ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => LOGIN_REMEDY,
                ConnectReturnCode::RefusedProtocolVersion => "set mqtt.version = 5",
                _ => "see the broker's log",
            };
            Broken::Refused { reason: format!("{code:?}"), remedy }
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => Broken::Silent,
        ConnectionError::MqttState(StateError::ConnectionAborted) => Broken::Ended("without a reason".into()),
        ConnectionError::MqttState(StateError::Deserialization(error)) if !matches!(error, Error::Io(_)) => {
            Broken::Unreadable(error.to_string())
        }
        other => Broken::Network(other.to_string()),
    }
}
