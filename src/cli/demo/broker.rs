//! The demo's own MQTT broker (rumqttd), on one loopback port for MQTT 5 and 3.1.1 alike.
//!
//! rumqttd listens for each version on a port of its own; a doorkeeper in front reads the version out of the CONNECT packet.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rumqttd::{Config, ConnectionSettings, RouterConfig, ServerSettings};
use tokio::net::{TcpListener, TcpStream};

/// The port that people expect; another one is taken where it is in use.
const USUAL_PORT: u16 = 1883;
/// How long a client may take to send its CONNECT.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Starts the broker, which ends with the process; returns where it is reached.
pub async fn start() -> io::Result<SocketAddr> {
    let door = match TcpListener::bind(("127.0.0.1", USUAL_PORT)).await {
        Ok(door) => door,
        Err(_) => TcpListener::bind("127.0.0.1:0").await?,
    };
    let address = door.local_addr()?;
    let (v4, v5) = (free_address()?, free_address()?);
    let config = Config {
        router: RouterConfig {
            max_connections: 100,
            max_outgoing_packet_count: 200,
            max_segment_size: 1 << 20,
            max_segment_count: 4,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("v4".into(), server("v4", v4))])),
        v5: Some(HashMap::from([("v5".into(), server("v5", v5))])),
        ..Config::default()
    };
    // `start` blocks for as long as the broker runs.
    std::thread::Builder::new().name("broker".into()).spawn(move || {
        if let Err(error) = rumqttd::Broker::new(config).start() {
            tracing::error!(%error, "demo.broker_stopped");
        }
    })?;
    for inner in [v4, v5] {
        while TcpStream::connect(inner).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    tokio::spawn(async move {
        while let Ok((client, _)) = door.accept().await {
            tokio::spawn(async move {
                let _ = admit(client, v4, v5).await;
            });
        }
    });
    Ok(address)
}

fn free_address() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

fn server(name: &str, listen: SocketAddr) -> ServerSettings {
    ServerSettings {
        name: name.to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 10_000,
            max_payload_size: 1 << 20,
            max_inflight_count: 200,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    }
}

/// Leads a client to the listener of its version.
async fn admit(mut client: TcpStream, v4: SocketAddr, v5: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let level = tokio::time::timeout(CONNECT_WITHIN, protocol_level(&client)).await??;
    let mut inner = TcpStream::connect(if level == 5 { v5 } else { v4 }).await?;
    inner.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut client, &mut inner).await.map(drop)
}

/// MQTT 5, 3.1: packet type, remaining length (1 to 4 bytes, the last below 0x80), "MQTT" with its length, protocol level.
async fn protocol_level(client: &TcpStream) -> io::Result<u8> {
    let mut head = [0; 16];
    loop {
        client.readable().await?;
        let n = client.peek(&mut head).await?;
        let length_bytes = head[1..5].iter().take_while(|b| **b & 0x80 != 0).count() + 1;
        let level = 1 + length_bytes + 6;
        if n > level {
            return Ok(head[level]);
        }
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // `peek` does not wait for more than is there.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
