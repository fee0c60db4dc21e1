//! Ports of the loopback interface for servers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// A loopback address where nobody listens, and that is given to no other test. It is below the ports that
/// the system gives to connections, one of which could take it before the server does.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(50) % 20_000;
    (0..1000)
        .map(|_| 12_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000)
        .filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap())).ok())
        .map(|listener| listener.local_addr().unwrap())
        .next()
        .expect("a port is free")
}
