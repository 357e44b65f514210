//! MQTT 3.1.1 over rumqttc. No reason codes, no limits told: what the broker dislikes it closes the connection for.

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Incoming, LastWill, MqttOptions, Outgoing, QoS,
    StateError,
};

use super::{Broken, Entry, Happened, INCOMING_MOST, LOGIN_REMEDY, Message, OFFLINE, Outbox, Pump, Settings, Verdict};

/// The largest packet that MQTT knows; rumqttc's own default is 10 kB.
const OUTGOING_MOST: usize = 268_435_455;

pub struct V4;

impl V4 {
    pub fn connect(settings: &Settings) -> Result<(Out, Loop), Broken> {
        let entry = Entry::new(settings)?;
        let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
        options
            .set_transport(entry.transport)
            .set_keep_alive(settings.pace.keep_alive)
            .set_clean_session(true)
            .set_max_packet_size(INCOMING_MOST as usize, OUTGOING_MOST)
            .set_inflight(settings.pace.window)
            .set_last_will(LastWill::new(settings.topics.status(), OFFLINE, QoS::AtLeastOnce, true));
        if let Some((user, password)) = entry.login {
            options.set_credentials(user, password);
        }
        let (client, mut events) = AsyncClient::new(options, super::channel(settings));
        events.set_network_options(entry.network);
        Ok((Out(client), Loop(events)))
    }
}

pub struct Out(AsyncClient);

impl Outbox for Out {
    fn publish(&self, message: Message) -> Result<(), Broken> {
        let Message { topic, payload, retain, properties: _ } = message;
        let sent = self.0.try_publish(topic, QoS::AtLeastOnce, retain, payload);
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
            Event::Incoming(Incoming::ConnAck(_)) => Happened::Connected { receive_most: u16::MAX, packet_most: None },
            Event::Outgoing(Outgoing::Publish(id)) => Happened::Sent(id),
            Event::Incoming(Incoming::PubAck(ack)) => Happened::Acknowledged(ack.pkid, Verdict::Taken),
            Event::Outgoing(Outgoing::PingReq) => Happened::PingSent,
            Event::Incoming(Incoming::PingResp) => Happened::PingAnswered,
            _ => Happened::Nothing,
        })
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
        other => Broken::Network(other.to_string()),
    }
}
