//! MQTT 5 over rumqttc.

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, DisconnectReasonCode, LastWill, PubAckReason, PublishProperties, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{Error, QoS};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, Incoming, MqttOptions, StateError};

use super::{
    Arrival, Broken, Entry, Happened, INCOMING_MOST, LOGIN_REMEDY, Message, OFFLINE, Receipt, Role, Settings, Verdict,
    full,
};

pub fn options(settings: &Settings, role: &Role, entry: Entry) -> MqttOptions {
    let mut options = MqttOptions::new(&role.client_id, &settings.host, settings.port);
    options
        .set_transport(entry.transport)
        .set_network_options(entry.network)
        .set_keep_alive(settings.pace.keep_alive)
        .set_connection_timeout(settings.pace.connect.as_secs().max(1))
        .set_clean_start(role.kept.is_none())
        .set_session_expiry_interval(role.kept.map(|kept| kept.as_secs() as u32))
        .set_receive_maximum(Some(role.arrivals_most))
        .set_max_packet_size(Some(INCOMING_MOST))
        .set_manual_acks(true)
        .set_outgoing_inflight_upper_limit(settings.pace.window);
    if let Some(will) = &role.will {
        options.set_last_will(LastWill::new(will, OFFLINE, QoS::AtLeastOnce, true, None));
    }
    if let Some((user, password)) = entry.login {
        options.set_credentials(user, password);
    }
    options
}

pub fn publish(client: &AsyncClient, message: Message) -> Result<(), Broken> {
    let Message { topic, payload, retain, properties, correlation } = message;
    let properties = PublishProperties {
        user_properties: properties,
        correlation_data: correlation.map(Into::into),
        ..PublishProperties::default()
    };
    client.try_publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties).map_err(full)
}

pub fn happened(event: Event) -> Happened {
    match event {
        Event::Incoming(Incoming::ConnAck(ack)) => {
            let told = ack.properties.as_ref();
            Happened::Connected {
                receive_most: told.and_then(|t| t.receive_max).unwrap_or(u16::MAX),
                packet_most: told.and_then(|t| t.max_packet_size).map(|most| most as usize),
            }
        }
        Event::Incoming(Incoming::SubAck(ack)) => {
            Happened::Subscribed(ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_))))
        }
        Event::Incoming(Incoming::Publish(publish)) => {
            let told = publish.properties.as_ref();
            Happened::Arrived(Box::new(Arrival {
                topic: String::from_utf8_lossy(&publish.topic).into_owned(),
                payload: publish.payload.to_vec(),
                retain: publish.retain,
                response_topic: told.and_then(|t| t.response_topic.clone()),
                correlation: told.and_then(|t| t.correlation_data.as_ref()).map(|data| data.to_vec()),
                receipt: Receipt::V5(publish),
            }))
        }
        Event::Outgoing(Outgoing::Publish(id)) => Happened::Sent(id),
        Event::Incoming(Incoming::PubAck(ack)) => Happened::Acknowledged(ack.pkid, verdict(ack.reason)),
        Event::Outgoing(Outgoing::PingReq) => Happened::PingSent,
        Event::Incoming(Incoming::PingResp(_)) => Happened::PingAnswered,
        _ => Happened::Nothing,
    }
}

/// Rights and quotas change while we run and bugs are mended, so only what is wrong with the publish itself is for ever.
fn verdict(reason: PubAckReason) -> Verdict {
    match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Verdict::Taken,
        PubAckReason::TopicNameInvalid => Verdict::Never("topic name invalid"),
        PubAckReason::PayloadFormatInvalid => Verdict::Never("payload format invalid"),
        PubAckReason::NotAuthorized => Verdict::NotNow("not authorized"),
        PubAckReason::QuotaExceeded => Verdict::NotNow("quota exceeded"),
        PubAckReason::UnspecifiedError => Verdict::NotNow("unspecified error"),
        PubAckReason::ImplementationSpecificError => Verdict::NotNow("implementation specific error"),
        PubAckReason::PacketIdentifierInUse => Verdict::NotNow("packet identifier in use"),
    }
}

pub fn broken(error: ConnectionError) -> Broken {
    match error {
        ConnectionError::ConnectionRefused(code) => refused(code),
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => match reason_code {
            DisconnectReasonCode::SessionTakenOver => Broken::TakenOver,
            code => Broken::Ended(reason_string.unwrap_or_else(|| format!("{code:?}"))),
        },
        ConnectionError::MqttState(StateError::AwaitPingResp) => Broken::Silent,
        ConnectionError::MqttState(StateError::ConnectionAborted) => Broken::Ended("without a reason".into()),
        ConnectionError::MqttState(StateError::Deserialization(error)) if !matches!(error, Error::Io(_)) => {
            Broken::Unreadable(error.to_string())
        }
        other => Broken::Network(other.to_string()),
    }
}

fn refused(code: ConnectReturnCode) -> Broken {
    let remedy = match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => LOGIN_REMEDY,
        ConnectReturnCode::UnsupportedProtocolVersion | ConnectReturnCode::RefusedProtocolVersion => {
            "set mqtt.version = 4"
        }
        ConnectReturnCode::RetainNotSupported => "allow retained messages at the broker",
        ConnectReturnCode::TopicNameInvalid => {
            "allow the will's topic at the broker, or change mqtt.prefix or hub.name"
        }
        _ => "see the broker's log",
    };
    Broken::Refused { reason: format!("{code:?}"), remedy }
}
