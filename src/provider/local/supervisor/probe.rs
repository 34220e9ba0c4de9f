//! The readiness probe: a plain HTTP/1.1 GET, as a kubelet's.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::protocol::Ready;

const TIMEOUT: Duration = Duration::from_secs(2);

/// Whether the answer comes in time, with a status of 200 to 399.
pub(super) async fn is_ready(ready: &Ready) -> bool {
    let status = tokio::time::timeout(TIMEOUT, status(ready)).await;
    matches!(status, Ok(Ok(Some(200..=399))))
}

async fn status(ready: &Ready) -> io::Result<Option<u16>> {
    let mut stream = TcpStream::connect(&ready.address).await?;
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: tks\r\nConnection: close\r\n\r\n",
        ready.path, ready.address
    );
    stream.write_all(request.as_bytes()).await?;
    // `HTTP/1.1 200`
    let mut start = [0_u8; 12];
    stream.read_exact(&mut start).await?;
    let start = std::str::from_utf8(&start)
        .ok()
        .filter(|start| start.starts_with("HTTP/1."));
    Ok(start.and_then(|start| start[9..].parse().ok()))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn only_a_good_answer_means_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ready = Ready {
            address,
            path: "/-/ready".into(),
        };
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\nOK", true),
            ("HTTP/1.0 302 Found\r\n\r\n", true),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            ("SSH-2.0-OpenSSH\r\n", false),
            ("HTTP", false),
        ] {
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0_u8; 18];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(&request, b"GET /-/ready HTTP/");
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            let (got, ()) = tokio::join!(is_ready(&ready), server);
            assert_eq!(got, expected, "{answer}");
        }
        drop(listener);
        assert!(!is_ready(&ready).await);
    }
}
