//! One connection to the broker, from its beginning to its end. The next one is a new one: what was not
//! acknowledged on this one is taken from the store again.

use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, Packet, Publish, PublishNotice,
    PublishOptions, QoS, SubscribeNotice,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::broker::{Broker, Keep};

/// Unacknowledged messages in flight.
pub(super) const WINDOW: u16 = 64;

/// Received messages that may wait; beyond that the broker waits.
const WAITING: usize = 256;

/// Time limit for a disconnect.
const GOODBYE: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// An error of the protocol.
    #[error("{0}")]
    Connection(ConnectionError),
    /// The broker does not want us.
    #[error("the broker refuses the client `{client_id}`: {}", reason(*code))]
    Refused { client_id: String, code: ConnectReturnCode },
    /// The connection ended without a reason.
    #[error("the connection has ended")]
    Ended,
    /// A message was not acknowledged in time.
    #[error("the broker does not acknowledge messages")]
    Silent,
}

/// The refusal in words, with what mends it.
fn reason(code: ConnectReturnCode) -> &'static str {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            "it is not authorized; check --user, its password and what the broker's access list allows"
        }
        ConnectReturnCode::BadClientId => {
            "the broker takes no such client id; choose another one with --client-id"
        }
        ConnectReturnCode::ServiceUnavailable => "the broker says that it is not available now",
        ConnectReturnCode::RefusedProtocolVersion => "the broker does not speak MQTT 3.1.1",
        ConnectReturnCode::Success => "it does not say why",
    }
}

/// A connection.
pub(super) struct Link {
    client: AsyncClient,
    /// The broker's messages; closed when the connection ends.
    pub(crate) incoming: mpsc::Receiver<Publish>,
    poller: JoinHandle<LinkError>,
}

impl Link {
    /// Connects, and returns when the broker has agreed.
    pub(crate) async fn connect(broker: &Broker, client_id: &str, keep: Keep) -> Result<Link, LinkError> {
        let mut options = broker.options(client_id, keep);
        options.set_inflight(WINDOW);
        let (client, mut events) = AsyncClient::builder(options).capacity(usize::from(WINDOW) * 2).build();
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => break,
                Ok(_) => {}
                Err(ConnectionError::ConnectionRefused(code)) => {
                    return Err(LinkError::Refused { client_id: client_id.to_owned(), code });
                }
                Err(error) => return Err(LinkError::Connection(error)),
            }
        }
        let (sender, incoming) = mpsc::channel(WAITING);
        let poller = tokio::spawn(poll(events, sender));
        Ok(Link { client, incoming, poller })
    }

    /// Subscribes, to be told of every message at least once.
    pub(crate) async fn subscribe(&self, filter: String) -> Result<SubscribeNotice, LinkError> {
        self.client.subscribe_tracked(filter, QoS::AtLeastOnce).await.map_err(|_| LinkError::Ended)
    }

    /// Subscribes, to be told of messages that are published while we are there.
    pub(crate) async fn listen(&self, filter: String) -> Result<SubscribeNotice, LinkError> {
        self.client.subscribe_tracked(filter, QoS::AtMostOnce).await.map_err(|_| LinkError::Ended)
    }

    pub(crate) async fn unsubscribe(&self, filter: String) -> Result<(), LinkError> {
        self.client.unsubscribe(filter).await.map_err(|_| LinkError::Ended)
    }

    /// Publishes, at least once and never retained. The notice tells when the broker has acknowledged it.
    pub(crate) async fn publish(&self, topic: String, payload: String) -> Result<PublishNotice, LinkError> {
        let options = PublishOptions::at_least_once();
        self.client.publish_tracked(topic, payload, options).await.map_err(|_| LinkError::Ended)
    }

    /// Acknowledges a message: the broker may forget that it has to deliver it.
    pub(crate) async fn acknowledge(&self, message: &Publish) -> Result<(), LinkError> {
        self.client.ack(message).await.map_err(|_| LinkError::Ended)
    }

    /// Says goodbye, and waits until what was said before has been sent.
    pub(crate) async fn close(mut self) {
        let polite = async {
            self.client.disconnect_with_timeout(GOODBYE).await.ok()?;
            // Messages that still arrive are not acknowledged and will be delivered again.
            while self.incoming.recv().await.is_some() {}
            Some(())
        };
        // If that takes too long, the connection ends without.
        let _ = timeout(GOODBYE * 2, polite).await;
    }

    pub(crate) async fn fate(mut self) -> LinkError {
        self.incoming.close();
        match timeout(GOODBYE, &mut self.poller).await {
            Ok(Ok(error)) => error,
            _ => LinkError::Ended,
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

/// Works for the connection until it ends.
async fn poll(mut events: EventLoop, incoming: mpsc::Sender<Publish>) -> LinkError {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::Publish(message))) => {
                if incoming.send(message).await.is_err() {
                    return LinkError::Ended;
                }
            }
            Ok(_) => {}
            Err(error) => return LinkError::Connection(error),
        }
    }
}
