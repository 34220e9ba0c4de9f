//! The ingress as its clients see it.

mod lab;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Frame;
use http_body_util::BodyExt;
use rustls::AlertDescription;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::log::chain;
use crate::tls::testing::{Authority, Leaf, Pair};
use crate::tls::{ClientTls, H2};
use crate::{Limits, port};
use lab::{HOST, Lab, PINNED, call, data, request};

#[tokio::test]
async fn a_pinned_client_streams_both_ways_and_gets_the_trailers() {
    let lab = Lab::new().await;
    let mut client = lab.client(&lab.good()).await;
    let (mut answer, frames) = call(&mut client, &format!("{HOST}:10901")).await;
    assert_eq!(answer.headers()["seen-te"], "trailers");
    assert_eq!(answer.headers()["seen-timeout"], "10S");
    assert_eq!(data(&mut answer).await, "hello");
    frames
        .unbounded_send(Ok(Frame::data(Bytes::from_static(b"again"))))
        .unwrap();
    assert_eq!(data(&mut answer).await, "again");
    drop(frames);
    let trailers = answer
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_trailers()
        .unwrap();
    assert_eq!(
        (&trailers["grpc-status"], &trailers["seen-by"]),
        (&"0".parse().unwrap(), &"backend".parse().unwrap())
    );
    assert!(answer.frame().await.is_none());
    let counted = format!("tks_ingress_requests_total{{host=\"{HOST}\",code=\"OK\"}} 1");
    lab.admin_until("/metrics", &counted).await;
}

#[tokio::test]
async fn whoever_lacks_the_right_certificate_is_refused_in_the_handshake() {
    let lab = Lab::new().await;
    let alert = async |pair: Option<Pair>| lab.alert(&lab.show(pair.as_ref()), &[H2]).await;

    assert_eq!(alert(None).await, AlertDescription::CertificateRequired);
    let foreign = Authority::new("foreign").issue(&lab.observer());
    assert_eq!(alert(Some(foreign)).await, AlertDescription::UnknownCA);
    // The authority that signs for the servers does not sign for their clients.
    let wrong_side = lab.pki.authority.issue(&lab.observer());
    assert_eq!(alert(Some(wrong_side)).await, AlertDescription::UnknownCA);
    let expired = lab.clients.issue(&Leaf {
        expired: true,
        ..lab.observer()
    });
    assert_eq!(
        alert(Some(expired)).await,
        AlertDescription::CertificateExpired
    );
    let other = Leaf {
        uris: vec![format!("{PINNED}2")],
        ..lab.observer()
    };
    assert_eq!(
        alert(Some(lab.clients.issue(&other))).await,
        AlertDescription::AccessDenied
    );
    let server = lab.clients.issue(&Leaf {
        server: true,
        ..lab.observer()
    });
    assert_eq!(
        alert(Some(server)).await,
        AlertDescription::UnsupportedCertificate
    );

    for reason in ["no_certificate", "issuer", "expired", "identity", "purpose"] {
        let count = if reason == "issuer" { 2 } else { 1 };
        let line = format!("connections_refused_total{{reason=\"{reason}\"}} {count}\n");
        lab.admin_until("/metrics", &line).await;
    }
    assert!(
        !lab.admin("/metrics")
            .await
            .unwrap()
            .contains("connections_accepted_total{")
    );
}

#[tokio::test]
async fn another_server_name_none_at_all_or_no_http2_is_refused_in_the_handshake() {
    let lab = Lab::new().await;
    let mut tls = ClientTls {
        skip_verify: true,
        ..lab.good()
    };
    assert_eq!(
        lab.alert(&tls, &[b"http/1.1"]).await,
        AlertDescription::NoApplicationProtocol
    );
    assert_eq!(
        lab.alert(&tls, &[]).await,
        AlertDescription::NoApplicationProtocol
    );
    tls.server_name = Some(format!("other.{HOST}"));
    assert_eq!(
        lab.alert(&tls, &[H2]).await,
        AlertDescription::UnrecognisedName
    );
    // For an address, no server name is sent.
    tls.server_name = Some("127.0.0.1".to_owned());
    assert_eq!(
        lab.alert(&tls, &[H2]).await,
        AlertDescription::UnrecognisedName
    );
    lab.admin_until(
        "/metrics",
        "connections_refused_total{reason=\"server_name\"} 2\n",
    )
    .await;
}

#[tokio::test]
async fn a_client_is_known_by_its_dns_name_or_common_name_too() {
    let lab = Lab::new().await;
    lab.configure("[by-name.test, by-common-name]");
    lab.admin_until("/-/ready", "200").await;
    let leaves = [
        Leaf {
            dns: vec!["by-name.test".into()],
            ..Leaf::client("x")
        },
        Leaf::client("by-common-name"),
    ];
    for leaf in leaves {
        let tls = lab.show(Some(&lab.clients.issue(&leaf)));
        let allowed = async {
            // Until the new list is in use.
            loop {
                let mut stream = lab.tls(&tls, &[H2]).await.unwrap();
                // A server that lets a client in speaks first: its SETTINGS.
                if stream.read_u8().await.is_ok() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), allowed)
            .await
            .unwrap();
    }
    // The list was replaced, not extended.
    assert_eq!(
        lab.alert(&lab.good(), &[H2]).await,
        AlertDescription::AccessDenied
    );
}

#[tokio::test]
async fn a_request_for_another_host_is_misdirected() {
    let lab = Lab::new().await;
    let mut client = lab.client(&lab.good()).await;
    let (answer, _frames) = call(&mut client, "other.test").await;
    assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST);
    assert!(
        answer.headers().get("seen-te").is_none(),
        "the backend was asked"
    );
}

#[tokio::test]
async fn a_dead_backend_is_unavailable_and_named_and_a_new_one_is_found() {
    let lab = Lab::new().await;
    let mut client = lab.client(&lab.good()).await;
    let (mut answer, frames) = call(&mut client, HOST).await;
    assert_eq!(data(&mut answer).await, "hello");
    lab.backend.cancel();
    drop(frames);
    while answer.frame().await.is_some_and(|frame| frame.is_ok()) {}
    let closed = async { while TcpStream::connect(lab.backend_address).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), closed)
        .await
        .unwrap();

    let (mut answer, _frames) = call(&mut client, HOST).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["grpc-status"], "14");
    let message = answer.headers()["grpc-message"]
        .to_str()
        .unwrap()
        .to_owned();
    let wanted = format!("backend%20{}%20is%20not%20reachable", lab.backend_address);
    assert!(
        message.starts_with(&wanted) && message.contains("refused"),
        "{message}"
    );
    assert!(answer.frame().await.is_none(), "the head is all");
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_backend() {
    let mut lab = Lab::new().await;
    let mut client = lab.client(&lab.good()).await;

    // While the client sends.
    let (mut answer, frames) = call(&mut client, HOST).await;
    assert_eq!(data(&mut answer).await, "hello");
    frames
        .unbounded_send(Err(io::Error::other("changed my mind")))
        .unwrap();
    lab.cut().await;

    // While the backend sends.
    let (request_to_endless, frames) = request(HOST, "/endless");
    drop(frames);
    let mut answer = client.send_request(request_to_endless).await.unwrap();
    assert_eq!(data(&mut answer).await, "hello");
    drop(answer);
    lab.cut().await;

    // Before the backend answers.
    let (request_to_silent, frames) = request(HOST, "/silent");
    drop(frames);
    let answer = tokio::spawn(client.send_request(request_to_silent));
    lab.cut().await; // this one says that the request has arrived
    answer.abort();
    lab.cut().await;

    let counted = format!("tks_ingress_requests_total{{host=\"{HOST}\",code=\"Canceled\"}} 3\n");
    lab.admin_until("/metrics", &counted).await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_clients_while_old_streams_go_on() {
    let lab = Lab::new().await;
    let tls = lab.good();
    let mut old = lab.client(&tls).await;
    let (mut answer, frames) = call(&mut old, HOST).await;
    assert_eq!(data(&mut answer).await, "hello");

    let shown = async || {
        let stream = lab.tls(&tls, &[H2]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let before = shown().await;
    lab.pki
        .write("server", &lab.pki.authority.issue(&Leaf::server(HOST)));
    let swapped = async {
        while shown().await == before {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), swapped)
        .await
        .unwrap();

    frames
        .unbounded_send(Ok(Frame::data(Bytes::from_static(b"still here"))))
        .unwrap();
    assert_eq!(data(&mut answer).await, "still here");
    let (mut second, _frames) = call(&mut old, HOST).await;
    assert_eq!(
        data(&mut second).await,
        "hello",
        "a new call on the old connection"
    );
}

#[tokio::test]
async fn a_broken_configuration_is_not_taken() {
    let lab = Lab::new().await;
    lab.configure("[]");
    lab.admin_until("/metrics", "tks_ingress_config_last_reload_successful 0\n")
        .await;
    let mut client = lab.client(&lab.good()).await;
    let (mut answer, _frames) = call(&mut client, HOST).await;
    assert_eq!(data(&mut answer).await, "hello");
    lab.configure(&format!("[{PINNED}]"));
    lab.admin_until("/metrics", "tks_ingress_config_last_reload_successful 1\n")
        .await;
}

#[tokio::test]
async fn a_missing_certificate_at_the_start_is_an_error_with_the_route_and_the_file() {
    let lab = Lab::new().await;
    lab.shutdown.cancel();
    std::fs::remove_file(lab.pki.path("server.key")).unwrap();
    let path = lab.pki.path("ingress.yaml");
    let error = crate::ingress::run(&path, CancellationToken::new())
        .await
        .unwrap_err();
    let text = chain(&error);
    let file = lab.pki.path("server.key").display().to_string();
    assert!(
        text.starts_with(&format!("route \"{HOST}\": cannot read private key {file}")),
        "{text}"
    );
}

#[tokio::test]
async fn a_grpc_channel_reaches_a_grpc_server_that_the_route_was_moved_to() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    let mut lab = Lab::new().await;
    let mut old = lab.client(&lab.good()).await;
    let probe = crate::probe::Probe::new("sidecar");
    probe.ready();
    let listener = port::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    lab.backend_address = listener.local_addr().unwrap();
    let routes = tonic::service::Routes::new(crate::grpc::health(&probe));
    let limits = Limits::default();
    tokio::spawn(crate::grpc::serve_on(
        listener,
        None,
        routes,
        limits,
        lab.shutdown.clone(),
    ));
    lab.configure(&format!("[{PINNED}]"));

    let channel = crate::grpc::channel(&lab.listen.to_string(), Some(&lab.good())).unwrap();
    let answered = async {
        // Until the route is moved, the echo answers.
        loop {
            let request = HealthCheckRequest::default();
            match HealthClient::new(channel.clone()).check(request).await {
                Ok(answer) if answer.get_ref().status == 1 => return,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answered)
        .await
        .unwrap();
    let (answer, _frames) = call(&mut old, HOST).await;
    assert_eq!(
        answer.headers()["grpc-status"],
        "12",
        "who came before is moved too"
    );
}

#[tokio::test]
async fn more_connections_than_allowed_are_refused() {
    let lab = Lab::with("max_connections: 1").await;
    let mut client = lab.client(&lab.good()).await;
    assert!(lab.tls(&lab.good(), &[H2]).await.is_err());
    lab.admin_until(
        "/metrics",
        "connections_refused_total{reason=\"limit\"} 1\n",
    )
    .await;
    let (mut answer, frames) = call(&mut client, HOST).await;
    assert_eq!(data(&mut answer).await, "hello");
    drop((client, answer, frames));
    let freed = async {
        while lab.tls(&lab.good(), &[H2]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), freed)
        .await
        .unwrap();
}
