//! A client that sends bytes as they are, and reads one answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::requests::{Request, Sent};
use crate::binary::PATIENCE;

pub struct Answer {
    pub status: u16,
    /// Its media type.
    pub kind: String,
    pub body: Vec<u8>,
}

/// Requests one after the other, on one connection as long as it stands.
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Connection {
        Connection {
            address,
            stream: None,
        }
    }

    /// The answer to a request; none where a broken one has ended the connection.
    pub fn send(&mut self, request: &Request) -> io::Result<Option<Answer>> {
        // A node may close a connection at any time between two requests: then it has seen nothing of the second.
        if let Some(stream) = self.stream.take()
            && let Ok(Some(answer)) = self.send_on(stream, request)
        {
            return Ok(Some(answer));
        }
        let stream = connected(self.address)?;
        match self.send_on(stream, request) {
            Ok(None) if request.sent == Sent::Whole => Err(io::Error::other("no answer")),
            Err(_) if request.sent == Sent::Broken => Ok(None),
            answered => answered,
        }
    }

    fn send_on(&mut self, mut stream: TcpStream, request: &Request) -> io::Result<Option<Answer>> {
        // A node that refuses a body may close before all of it is written; its answer is there all the same.
        let written = stream.write_all(&request.bytes);
        if request.sent == Sent::Broken {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let Some((answer, stays)) = read(&mut stream)? else {
            return Ok(None);
        };
        if stays && written.is_ok() && request.sent == Sent::Whole {
            self.stream = Some(stream);
        }
        Ok(Some(answer))
    }
}

fn connected(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An answer, and whether the connection stays open. The node's answers have lengths.
fn read(stream: &mut TcpStream) -> io::Result<Option<(Answer, bool)>> {
    let mut seen = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    let end = loop {
        if let Some(end) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            read => seen.extend_from_slice(&chunk[..read]),
        }
    };
    let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value.to_owned())
    };
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length: usize = header("content-length")
        .and_then(|length| length.parse().ok())
        .unwrap_or(0);
    let mut body = seen.split_off(end + 4);
    while body.len() < length {
        match stream.read(&mut chunk)? {
            0 => return Err(io::Error::other("an answer broke off")),
            read => body.extend_from_slice(&chunk[..read]),
        }
    }
    if body.len() > length {
        return Err(io::Error::other("more than one answer"));
    }
    let answer = Answer {
        status: status.ok_or_else(|| io::Error::other("no status"))?,
        kind: header("content-type").unwrap_or_default(),
        body,
    };
    Ok(Some((answer, header("connection").as_deref() != Some("close"))))
}

/// A connection on which a request begins and does not end.
pub fn half_open(address: SocketAddr, kind: usize) -> TcpStream {
    let mut stream = connected(address).unwrap();
    let begun: &[u8] = match kind % 4 {
        0 => b"",
        1 => b"POST /v1/indexes/shop/search HTTP/1.1\r\nhost: x\r\ncontent-le",
        2 => b"POST /v1/indexes/shop/search HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n{\"query\": \"",
        _ => b"POST /v1/tables/rows/changes HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n{",
    };
    stream.write_all(begun).unwrap();
    stream
}
