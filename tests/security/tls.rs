//! TLS: the certificate of the settings, and the next one without a restart.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::CertifiedKey;
use serde_json::json;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::rig::{Port, dataflow, key};
use crate::binary::eventually;

/// Puts a new certificate into the files of the settings; who trusts it.
fn renew(folder: &Path) -> TlsConfig {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    let roots = vec![Certificate::from_der(cert.der()).to_owned()];
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .build()
}

fn asks(port: &Port, trust: &TlsConfig, key: &str) -> Result<u16, ureq::Error> {
    let agent = super::rig::agent(trust.clone());
    let url = format!("https://localhost:{}/v1/indexes/shop/search", port.address.port());
    let answer = agent
        .post(url)
        .header("authorization", format!("Bearer {key}"))
        .send(r#"{"query":"shoe"}"#)?;
    Ok(answer.status().as_u16())
}

#[test]
fn the_certificate_is_that_of_the_files_also_after_they_changed() {
    let folder = tempfile::tempdir().unwrap();
    let first = renew(folder.path());
    let (shop, section) = key("shop", r#"scopes = ["search"]"#);
    let text = dataflow(&format!(
        "[server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n{section}"
    ));
    let port = Port::open_in(&text, folder.path()).asked_by(first.clone());
    assert_eq!(port.search(&shop, &json!({"query": "shoe"})).status, 200);
    assert_eq!(port.search("", &json!({"query": "shoe"})).status, 401);
    let plain = super::rig::agent(TlsConfig::default());
    let unencrypted = plain.get(format!("http://{}/healthz", port.address)).call();
    assert!(unencrypted.is_err(), "{unencrypted:?}");
    assert!(
        asks(&port, &TlsConfig::default(), &shop).is_err(),
        "nobody vouches for it"
    );

    // Who begins a handshake and says nothing holds up nobody.
    let silent: Vec<TcpStream> = (0..20)
        .map(|_| TcpStream::connect(port.address).unwrap())
        .collect();
    assert_eq!(asks(&port, &first, &shop).unwrap(), 200);

    // The port's agent keeps its connection open meanwhile.
    let goes_on = || port.search(&shop, &json!({"query": "shoe"})).status;
    let second = renew(folder.path());
    eventually("new connections get the new certificate", || {
        assert_eq!(goes_on(), 200);
        asks(&port, &second, &shop).ok().filter(|status| *status == 200)
    });
    assert!(asks(&port, &first, &shop).is_err());
    assert_eq!(
        goes_on(),
        200,
        "it trusts the first certificate alone, which no new connection gets"
    );
    drop(silent);
}

#[test]
fn a_node_does_not_start_on_a_certificate_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    renew(folder.path());
    let key_of_first = std::fs::read(folder.path().join("key.pem")).unwrap();
    renew(folder.path());
    std::fs::write(folder.path().join("other.pem"), key_of_first).unwrap();
    std::fs::write(folder.path().join("no.pem"), "no certificate").unwrap();
    for (cert, key, expected) in [
        ("cert.pem", "other.pem", "cannot be used"),
        ("no.pem", "key.pem", "has no certificate"),
        ("cert.pem", "no.pem", "is no PEM file"),
        ("absent.pem", "key.pem", "read "),
    ] {
        let tls = format!("[server.tls]\ncert = \"{cert}\"\nkey = \"{key}\"");
        let definition = super::rig::definition(&dataflow(&tls), folder.path());
        let data = tempfile::tempdir().unwrap();
        let node = millpond::node::Node::start(definition, &super::rig::options(data.path())).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            millpond::server::serve(listener, node.app().clone(), std::future::pending()).await
        });
        let error = served.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        node.stop().unwrap();
    }
}
