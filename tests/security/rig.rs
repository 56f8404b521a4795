//! A node with a port, in this process.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use millpond::definition::{Definition, parse};
use millpond::node::{Embedders, Node, ServeOptions};
use millpond::server::{NewKey, new_key, serve};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A table that takes pushes, and an index of it. `{more}` goes on in `[index]`, then come further sections.
pub fn dataflow(more: &str) -> String {
    format!(
        r#"
name = "shop"
[tables.rows]
source = {{ kind = "http" }}
format = "upsert-json"
key = ["id"]
[embedder]
model = "none"
dimensions = 3
[index]
query = "SELECT id, owner, name, price, place FROM rows"
key = "id"
text = {{ name = {{}} }}
fields = {{ owner = "keyword", price = "f64" }}
vector = "place"
{more}
"#
    )
}

/// A key and the section that makes it known.
pub fn key(name: &str, settings: &str) -> (String, String) {
    let NewKey { key, hash } = new_key().unwrap();
    let section = format!("[server.keys.{name}]\nhash = \"{hash}\"\n{settings}\n");
    (key, section)
}

pub struct Port {
    pub address: SocketAddr,
    agent: ureq::Agent,
    /// `https://localhost:…` where the agent has roots of its own.
    base: String,
    node: Arc<Node>,
    _stop: oneshot::Sender<()>,
    _runtime: tokio::runtime::Runtime,
    _data: TempDir,
}

pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of an error.
    #[track_caller]
    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

pub fn definition(text: &str, base: &Path) -> Definition {
    parse(text, "shop.toml", base).unwrap_or_else(|faults| panic!("{faults}\n{text}"))
}

pub fn options(data: &Path) -> ServeOptions {
    ServeOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: data.to_owned(),
        workers: Some(1),
        dead_letters: None,
        rebuild: false,
        model_hosts: Vec::new(),
    }
}

impl Port {
    pub fn open(text: &str) -> Port {
        Port::open_in(text, Path::new(""))
    }

    /// The paths of the dataflow file are relative to `base`.
    pub fn open_in(text: &str, base: &Path) -> Port {
        Port::open_with(text, base, Arc::new(millpond::embed::open))
    }

    pub fn open_with(text: &str, base: &Path, embedders: Arc<Embedders>) -> Port {
        let data = tempfile::tempdir().unwrap();
        let node = Node::start_with(definition(text, base), &options(data.path()), embedders).unwrap();
        let node = Arc::new(node);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        runtime.spawn(serve(listener, node.app().clone(), stopped));
        let port = Port {
            base: format!("http://{address}"),
            address,
            agent: agent(ureq::tls::TlsConfig::default()),
            node,
            _stop: stop,
            _runtime: runtime,
            _data: data,
        };
        crate::binary::eventually("the node is ready", || {
            let ready = port.node.app().ready.load(std::sync::atomic::Ordering::Acquire);
            ready.then_some(())
        });
        port
    }

    pub fn app(&self) -> &Arc<millpond::server::App> {
        self.node.app()
    }

    /// The same port, asked by TLS.
    pub fn asked_by(mut self, tls: ureq::tls::TlsConfig) -> Port {
        self.base = format!("https://localhost:{}", self.address.port());
        self.agent = agent(tls);
        self
    }

    pub fn get(&self, path: &str, key: &str) -> Answer {
        self.send(ureq::http::Method::GET, path, &bearer(key), "")
    }

    pub fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(ureq::http::Method::POST, path, &bearer(key), &body.to_string())
    }

    pub fn search(&self, key: &str, body: &Value) -> Answer {
        self.post("/v1/indexes/shop/search", key, body)
    }

    /// Pushes rows, and waits until they are searchable.
    #[track_caller]
    pub fn push(&self, key: &str, rows: &[Value]) {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let path = "/v1/tables/rows/changes?wait=visible";
        let answer = self.send(ureq::http::Method::POST, path, &bearer(key), &lines);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["dead_letters"], json!(0), "{}", answer.body);
    }

    pub fn send(
        &self,
        method: ureq::http::Method,
        path: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Answer {
        self.try_send(method, path, headers, body).unwrap()
    }

    pub fn try_send(
        &self,
        method: ureq::http::Method,
        path: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut response = self.agent.run(request.body(body.to_owned()).unwrap())?;
        Ok(Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.body_mut().read_to_string()?,
        })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let _ = self.node.stop();
    }
}

fn bearer(key: &str) -> Vec<(&'static str, String)> {
    match key {
        "" => vec![],
        key => vec![("authorization", format!("Bearer {key}"))],
    }
}

pub fn agent(tls: ureq::tls::TlsConfig) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .timeout_global(Some(crate::binary::PATIENCE))
        .tls_config(tls)
        .build()
        .into()
}

/// The keys of hits, best first.
#[track_caller]
pub fn keys(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer = answer.json();
    let hits = answer["hits"].as_array().unwrap();
    hits.iter()
        .map(|hit| hit["key"].as_str().unwrap().to_owned())
        .collect()
}

pub fn row(id: usize, owner: &str, name: &str, price: f64) -> Value {
    json!({"id": id, "owner": owner, "name": name, "price": price, "place": [1.0, price, id as f64]})
}
