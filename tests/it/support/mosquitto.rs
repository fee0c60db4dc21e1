//! A private Mosquitto on loopback, clients of it, and `otapress relay` as a process.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, PublishOptions, QoS};
use rustix::process::{Pid, Signal, kill_process};

use super::hosts::{if_root, program};
use super::ports::free_address;
use super::process::wait_until;

/// A broker that keeps its sessions and retained messages in a directory of its own.
pub struct Mosquitto {
    dir: tempfile::TempDir,
    pub address: SocketAddr,
    child: Option<Child>,
}

impl Mosquitto {
    /// One to which everybody may connect.
    pub fn start() -> Mosquitto {
        Mosquitto::start_with(|_| "allow_anonymous true\n".into())
    }

    /// One with more configuration, which is told the directory where its files may be.
    pub fn start_with(more: impl Fn(&Path) -> String) -> Mosquitto {
        let dir = tempfile::tempdir().unwrap();
        let address = free_address();
        let here = dir.path().display();
        let config = format!(
            "{}listener {} 127.0.0.1\npersistence true\npersistence_location {here}/\nautosave_interval 1\n\
             autosave_on_changes true\nmax_queued_messages 0\nlog_dest file {here}/log\n{}",
            if_root("user root\n"),
            address.port(),
            more(dir.path()),
        );
        fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let mut broker = Mosquitto { dir, address, child: None };
        broker.restart();
        broker
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts it again where it was stopped.
    pub fn restart(&mut self) {
        assert!(self.child.is_none());
        let mut command = Command::new(program("mosquitto"));
        command.arg("-c").arg(self.path("mosquitto.conf")).stdin(Stdio::null());
        let said = File::create(self.path("said")).unwrap();
        command.stdout(said.try_clone().unwrap()).stderr(said);
        self.child = Some(command.spawn().unwrap());
        let says =
            || ["said", "log"].map(|name| fs::read_to_string(self.path(name)).unwrap_or_default()).join("\n");
        wait_until(|| TcpStream::connect(self.address).is_ok(), says);
    }

    fn end(&mut self, signal: Signal) {
        let mut child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        child.wait().unwrap();
    }

    /// Ends it as an init system does: it writes down what it has.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    fn options(&self, client_id: &str) -> MqttOptions {
        MqttOptions::new(client_id, (self.address.ip().to_string(), self.address.port()))
    }

    /// Publishes a message, and returns when the broker has it.
    pub fn publish(&self, topic: &str, payload: impl AsRef<[u8]>, retained: bool) {
        let (client, mut connection) = Client::builder(self.options("publisher")).capacity(10).build();
        let options = PublishOptions::at_least_once().retain(retained);
        client.publish(topic, payload.as_ref().to_vec(), options).unwrap();
        for event in connection.iter() {
            match event.unwrap() {
                Event::Incoming(Packet::PubAck(_)) => client.disconnect().unwrap(),
                Event::Outgoing(rumqttc::Outgoing::Disconnect) => break,
                _ => {}
            }
        }
    }

    /// Listens to a filter from now on, also over restarts of the broker.
    pub fn listen(&self, client_id: &str, filter: &str) -> Listener {
        let mut options = self.options(client_id);
        options.set_clean_session(false).set_keep_alive(5);
        let (client, mut connection) = Client::builder(options).capacity(10).build();
        let messages = Arc::new(Mutex::new(Vec::new()));
        let subscribed = Arc::new(Mutex::new(false));
        let (sink, ready, filter) = (messages.clone(), subscribed.clone(), filter.to_owned());
        let subscriber = client.clone();
        std::thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        if subscriber.try_subscribe(filter.as_str(), QoS::AtLeastOnce).is_err() {
                            return;
                        }
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => *ready.lock().unwrap() = true,
                    Ok(Event::Incoming(Packet::Publish(publish))) => sink.lock().unwrap().push(Message {
                        topic: String::from_utf8(publish.topic.to_vec()).unwrap(),
                        payload: String::from_utf8(publish.payload.to_vec()).unwrap(),
                        retained: publish.retain,
                    }),
                    Ok(Event::Outgoing(rumqttc::Outgoing::Disconnect)) => return,
                    Ok(_) => {}
                    Err(rumqttc::ConnectionError::RequestsDone) => return,
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        });
        wait_until(|| *subscribed.lock().unwrap(), || "the subscription is not confirmed".into());
        Listener { messages, client }
    }

    /// What the broker keeps for those who subscribe later: every retained message, by topic.
    pub fn retained(&self) -> Vec<(String, String)> {
        let listener = self.listen("collector", "#");
        // What is retained comes before what is published now.
        self.publish("the/end", "", false);
        let ended = || listener.messages().iter().any(|message| message.topic == "the/end");
        wait_until(ended, || "the end does not come".into());
        let retained = listener.messages().into_iter().filter(|message| message.retained);
        let mut retained: Vec<_> = retained.map(|message| (message.topic, message.payload)).collect();
        retained.sort();
        retained
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub retained: bool,
}

/// A client that hears everything at least once.
pub struct Listener {
    messages: Arc<Mutex<Vec<Message>>>,
    client: Client,
}

impl Listener {
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    /// Waits until so many have arrived.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Message> {
        wait_until(|| self.messages().len() >= count, || format!("{} of {count}", self.messages().len()));
        self.messages()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.client.try_disconnect_now();
    }
}

/// A process of `otapress relay`; it is killed with the value.
pub struct Relay {
    child: Child,
    log: PathBuf,
}

impl Relay {
    /// Starts a command; what it says goes to a file.
    pub fn start(mut command: Command, log: PathBuf) -> Relay {
        let file = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Relay { child: command.spawn().unwrap(), log }
    }

    /// What it has said by now.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it has said something.
    #[track_caller]
    pub fn wait_for(&self, what: &str) {
        wait_until(|| self.log().contains(what), || format!("no `{what}` in\n{}", self.log()));
    }

    /// Ends it as an init system does; returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
