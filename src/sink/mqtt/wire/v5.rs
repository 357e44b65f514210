//! MQTT 5 over rumqttc.

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode, LastWill, PubAckReason, PublishProperties};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, StateError};

use super::{Broken, Entry, Happened, INCOMING_MOST, LOGIN_REMEDY, Message, OFFLINE, Outbox, Pump, Settings, Verdict};

pub struct V5;

impl V5 {
    pub fn connect(settings: &Settings) -> Result<(Out, Loop), Broken> {
        let entry = Entry::new(settings)?;
        let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
        options
            .set_transport(entry.transport)
            .set_network_options(entry.network)
            .set_keep_alive(settings.pace.keep_alive)
            .set_connection_timeout(settings.pace.connect.as_secs().max(1))
            .set_clean_start(true)
            .set_max_packet_size(Some(INCOMING_MOST))
            .set_outgoing_inflight_upper_limit(settings.pace.window)
            .set_last_will(LastWill::new(settings.topics.status(), OFFLINE, QoS::AtLeastOnce, true, None));
        if let Some((user, password)) = entry.login {
            options.set_credentials(user, password);
        }
        let (client, events) = AsyncClient::new(options, super::channel(settings));
        Ok((Out(client), Loop(events)))
    }
}

pub struct Out(AsyncClient);

impl Outbox for Out {
    fn publish(&self, message: Message) -> Result<(), Broken> {
        let Message { topic, payload, retain, properties } = message;
        let properties = PublishProperties { user_properties: properties, ..PublishProperties::default() };
        let sent = self.0.try_publish_with_properties(topic, QoS::AtLeastOnce, retain, payload, properties);
        sent.map_err(|e| Broken::Network(e.to_string()))
    }

    fn disconnect(&self) {
        let _ = self.0.try_disconnect();
    }
}

pub struct Loop(EventLoop);

impl Pump for Loop {
    async fn next(&mut self) -> Result<Happened, Broken> {
        let event = self.0.poll().await.map_err(broken)?;
        Ok(match event {
            Event::Incoming(Incoming::ConnAck(ack)) => {
                let told = ack.properties.as_ref();
                Happened::Connected {
                    receive_most: told.and_then(|t| t.receive_max).unwrap_or(u16::MAX),
                    packet_most: told.and_then(|t| t.max_packet_size).map(|most| most as usize),
                }
            }
            Event::Outgoing(Outgoing::Publish(id)) => Happened::Sent(id),
            Event::Incoming(Incoming::PubAck(ack)) => Happened::Acknowledged(ack.pkid, verdict(ack.reason)),
            Event::Outgoing(Outgoing::PingReq) => Happened::PingSent,
            Event::Incoming(Incoming::PingResp(_)) => Happened::PingAnswered,
            _ => Happened::Nothing,
        })
    }
}

/// Rights and quotas change while we run and bugs are mended, so only what is wrong with the publish itself is for ever.
fn verdict(reason: PubAckReason) -> Verdict {
    match reason {
        PubAckReason::Success => Verdict::Taken,
        PubAckReason::NoMatchingSubscribers => Verdict::NobodyListens,
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
