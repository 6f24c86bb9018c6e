//! A server on 127.0.0.1 that speaks the protocol of Redis and replies what a test says.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

/// The reply to a request, which is a list of words.
type Reply = dyn Fn(&[Vec<u8>]) -> Vec<u8> + Send + Sync;

/// A server that ends with its value.
#[derive(Debug)]
pub struct FakeRedis {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl FakeRedis {
    /// Starts a server. Requests that only set up a connection are accepted; `reply` is called for all others.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start(reply: impl Fn(&[Vec<u8>]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start_numbered(move |_, words| reply(words))
    }

    /// As [`start`](Self::start); `reply` also gets the number of the connection, from 1 on.
    ///
    /// # Panics
    /// If no port is free.
    pub fn start_numbered(reply: impl Fn(usize, &[Vec<u8>]) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (connections, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, stop, reply) = (Arc::clone(&connections), Arc::clone(&ended), Arc::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let reply = Arc::clone(&reply);
                thread::spawn(move || serve(&stream, &move |words: &[Vec<u8>]| reply(number, words)));
            }
        });
        Self { address, connections, ended }
    }

    /// URL of the server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Number of connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for FakeRedis {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Ends the wait for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: &TcpStream, reply: &Reply) {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    while let Some(words) = request(&mut reader) {
        let answer = match words.first().map(|word| word.to_ascii_uppercase()).as_deref() {
            Some(b"HELLO") => b"%1\r\n+proto\r\n:3\r\n".to_vec(),
            Some(b"CLIENT" | b"SELECT" | b"SUBSCRIBE") => b"+OK\r\n".to_vec(),
            _ => reply(&words),
        };
        if writer.write_all(&answer).is_err() {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<Vec<Vec<u8>>> {
    let count = number(reader, '*')?;
    (0..count)
        .map(|_| {
            let mut word = vec![0; number(reader, '$')? + 2];
            reader.read_exact(&mut word).ok()?;
            word.truncate(word.len() - 2);
            Some(word)
        })
        .collect()
}

fn number(reader: &mut impl BufRead, kind: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.strip_prefix(kind)?.trim_end().parse().ok()
}
