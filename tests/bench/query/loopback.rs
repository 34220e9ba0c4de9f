//! What the kernel takes for bytes between two sockets of this machine: nothing that speaks TCP is cheaper.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use nix::time::{ClockId, clock_gettime};

/// Bytes that are sent to find out.
const BYTES: usize = 256 << 20;
const BUFFER: usize = 64 << 10;

/// CPU seconds for a byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loopback {
    pub(crate) read: f64,
    pub(crate) write: f64,
}

impl Loopback {
    pub(crate) fn measure() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let writer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let buffer = vec![7; BUFFER];
            for _ in 0..BYTES / BUFFER {
                stream.write_all(&buffer).expect("written");
            }
            spent()
        });
        let mut stream = TcpStream::connect(address).expect("it listens");
        let (mut buffer, begun) = (vec![0; BUFFER], spent());
        while stream.read(&mut buffer).expect("readable") > 0 {}
        Self {
            read: (spent() - begun) / BYTES as f64,
            write: writer.join().expect("it only writes") / BYTES as f64,
        }
    }

    /// CPU seconds to receive and to send so many bytes.
    pub(crate) fn floor(self, received: u64, sent: usize) -> f64 {
        self.read * received as f64 + self.write * sent as f64
    }
}

/// CPU seconds of this thread.
pub(crate) fn spent() -> f64 {
    let spent = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("it runs");
    std::time::Duration::from(spent).as_secs_f64()
}
