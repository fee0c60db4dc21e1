//! A broker of a few lines, which does what a real one does only on its worst days.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// What a client sends.
pub enum Packet {
    Connect,
    Subscribe(u16),
    Publish(u16, String),
    Other,
}

/// What it is answered.
pub enum Answer {
    Send(Vec<u8>),
    /// The connection is closed after that.
    Last(Vec<u8>),
}

pub fn connected() -> Answer {
    Answer::Send(vec![0x20, 2, 0, 0])
}

/// The answer to a subscription: 1 is granted, 0x80 refused.
pub fn subscribed(id: u16, code: u8) -> Answer {
    let [high, low] = id.to_be_bytes();
    Answer::Send(vec![0x90, 3, high, low, code])
}

/// The acknowledgement of a message.
pub fn acknowledged(id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![0x40, 2, high, low]
}

/// Answers everything that is sent, on one connection after the other.
pub fn broker(mut answer: impl FnMut(Packet) -> Answer + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Who hangs up has hung up.
            let _ = converse(stream.unwrap(), &mut answer);
        }
    });
    address
}

fn converse(mut stream: TcpStream, answer: &mut dyn FnMut(Packet) -> Answer) -> io::Result<()> {
    loop {
        match answer(read(&mut stream)?) {
            Answer::Send(bytes) => stream.write_all(&bytes)?,
            Answer::Last(bytes) => return stream.write_all(&bytes),
        }
    }
}

fn read(stream: &mut TcpStream) -> io::Result<Packet> {
    let mut byte = || {
        let mut byte = [0];
        stream.read_exact(&mut byte).map(|()| byte[0])
    };
    let kind = byte()?;
    let (mut length, mut shift) = (0, 0);
    loop {
        let part = byte()?;
        length |= usize::from(part & 0x7f) << shift;
        shift += 7;
        if part & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    Ok(match kind >> 4 {
        1 => Packet::Connect,
        3 => {
            assert_eq!(kind & 0b1111, 0b0010, "QoS 1, neither repeated nor retained");
            let topic = usize::from(number(0));
            let payload = String::from_utf8(body[topic + 4..].to_vec()).unwrap();
            Packet::Publish(number(topic + 2), payload)
        }
        8 => Packet::Subscribe(number(0)),
        _ => Packet::Other,
    })
}
