//! The balancers of `examples/`, with addresses of this machine.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::hosts::{Process, Site, program};
use super::ports::free_address;
use super::servers;

/// A running balancer.
pub struct Balancer {
    pub address: SocketAddr,
    _process: Process,
}

/// An example with its addresses replaced: two responders, which serve the files, too.
fn example(name: &str, address: SocketAddr, responders: &[SocketAddr]) -> String {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let text = fs::read_to_string(&example).unwrap();
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        for (given, responder) in ["10.0.0.11:80", "10.0.0.12:80"].iter().zip(responders) {
            line = line.replace(given, &responder.to_string());
        }
        for (given, responder) in ["10.0.0.21:8810", "10.0.0.22:8810"].iter().zip(responders) {
            line = line.replace(given, &responder.to_string());
        }
        lines.push(
            line.replace("bind :80", &format!("bind {address}"))
                .replace("listen 80;", &format!("listen {address};")),
        );
    }
    let text = lines.join("\n") + "\n";
    assert!(!text.contains("10.0.0."), "{text}");
    text
}

/// HAProxy, with as many responders as there are.
pub fn haproxy(site: &Site, responders: &[SocketAddr]) -> Balancer {
    let address = free_address();
    let mut text = example("haproxy.cfg", address, responders);
    for (n, responder) in responders.iter().enumerate().skip(2) {
        let (second, further) =
            (format!("server responder2 {}\n", responders[1]), format!("server further{n} {responder}\n"));
        text = text.replace(&second, &format!("{second}    {further}"));
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let text =
        text.replace("/etc/haproxy", examples.to_str().unwrap()).replace("maxconn 8000", "maxconn 1000");
    fs::write(site.path("haproxy.cfg"), text).unwrap();
    let mut command = Command::new(program("haproxy"));
    command.arg("-db").arg("-f").arg(site.path("haproxy.cfg"));
    Balancer { address, _process: Process::start(site, command).listening(address) }
}

/// nginx.
pub fn nginx(site: &Site, responders: &[SocketAddr]) -> Balancer {
    let address = free_address();
    let file = site.text("balancer.conf");
    fs::write(&file, example("nginx-balancer.conf", address, responders)).unwrap();
    Balancer { address, _process: servers::nginx(site, &[&file]).listening(address) }
}
