//! An embedding service for tests: a real HTTP server that speaks the three formats, answers with the `hash`
//! embedder's vectors, and fails as it is told to. It also re-ranks, in three formats and with the same faults.
//!
//! ```ignore
//! let service = EmbeddingService::start(64);
//! let dataflow = format!("...\n[embedder]\n{}\n", service.model("openai"));
//! service.set(Fault::Down);                        // from now on, until `set(Fault::None)`
//! service.next([Fault::TooMany { retry_after: Some(1) }]);  // the next request alone
//! assert_eq!(service.times("red shoe"), 1);        // texts that were answered with vectors
//! ```

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use millpond::embed::{Embedder, HashEmbedder};
use serde_json::{Value, json};

/// What the service does instead of answering, or before.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    None,
    /// Answers after so long a request, as a service does that has much to do.
    Slow(Duration),
    /// Answers after so long a text.
    SlowText(Duration),
    /// 429, with `Retry-After` in seconds.
    TooMany {
        retry_after: Option<u64>,
    },
    /// This status, with a reason that holds the request's key, as careless services do.
    Status(u16),
    /// One number too many in each vector.
    WrongDimension,
    /// A vector less than texts.
    OneTooFew,
    /// A number in each vector that is none (`null`; in base64 a NaN).
    NotANumber,
    /// Half of the answer, then the end of the connection.
    Cut,
    /// A body without end, or nearly.
    Endless,
    /// Connections are closed without an answer.
    Down,
    /// No answer, until the client goes away.
    Hang,
    /// 400 for each request with a text that contains this.
    Poison(String),
}

/// The service. It ends with the value.
pub struct EmbeddingService {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    embedder: HashEmbedder,
    /// Where set, requests without this key are answered 401.
    key: Mutex<Option<String>>,
    standing: Mutex<Fault>,
    next: Mutex<VecDeque<Fault>>,
    seen: Mutex<Vec<Seen>>,
    running: AtomicUsize,
    running_max: AtomicUsize,
    ended: AtomicBool,
}

/// A request, and what came of it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub texts: Vec<String>,
    pub status: u16,
    pub body: Value,
}

impl EmbeddingService {
    /// On a free port; its vectors have so many dimensions.
    pub fn start(dimensions: usize) -> EmbeddingService {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            embedder: HashEmbedder::new(dimensions),
            key: Mutex::new(None),
            standing: Mutex::new(Fault::None),
            next: Mutex::default(),
            seen: Mutex::default(),
            running: AtomicUsize::new(0),
            running_max: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let serving = shared.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if serving.ended.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(connection) = connection {
                    let serving = serving.clone();
                    // A client that goes away ends its connection, not the service.
                    std::thread::spawn(move || drop(serving.serve(connection)));
                }
            }
        });
        EmbeddingService { address, shared }
    }

    /// The endpoint of a format: `openai`, `tei` or `ollama`.
    pub fn url(&self, api: &str) -> String {
        let path = match api {
            "openai" => "/v1/embeddings",
            "tei" => "/embed",
            "ollama" => "/api/embed",
            other => panic!("no format {other}"),
        };
        format!("http://{}{path}", self.address)
    }

    /// The line of a `[reranker]` section that names this service: `tei`, `cohere` or `jina`.
    pub fn reranker(&self, api: &str) -> String {
        let path = match api {
            "tei" => "/rerank",
            "cohere" => "/v2/rerank",
            "jina" => "/v1/rerank",
            other => panic!("no format {other}"),
        };
        let address = self.address;
        format!("model = {{ url = \"http://{address}{path}\", api = \"{api}\", name = \"ranks\" }}")
    }

    /// The line of an `[embedder]` section that names this service.
    pub fn model(&self, api: &str) -> String {
        format!(
            "model = {{ url = \"{}\", api = \"{api}\", name = \"hash\", dimensions = {} }}",
            self.url(api),
            self.shared.embedder.dimensions()
        )
    }

    /// Answers only requests that bring this key.
    pub fn require_key(&self, key: &str) {
        *self.shared.key.lock().unwrap() = Some(key.to_owned());
    }

    /// What holds for all requests from now on, but for those that `next` has.
    pub fn set(&self, fault: Fault) {
        *self.shared.standing.lock().unwrap() = fault;
    }

    /// What the next requests meet, one each.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.next.lock().unwrap().extend(faults);
    }

    /// Requests so far, in the order of their answers.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Texts that were answered with vectors, in that order.
    pub fn texts(&self) -> Vec<String> {
        let answered = |seen: &Seen| {
            if seen.status == 200 {
                seen.texts.clone()
            } else {
                vec![]
            }
        };
        self.shared
            .seen
            .lock()
            .unwrap()
            .iter()
            .flat_map(answered)
            .collect()
    }

    /// How often a text was answered with a vector.
    pub fn times(&self, text: &str) -> usize {
        self.texts().iter().filter(|found| *found == text).count()
    }

    /// The most requests that were being answered at once.
    pub fn running_max(&self) -> usize {
        self.shared.running_max.load(Ordering::Relaxed)
    }

    /// What it answers for a text.
    pub fn vector(&self, text: &str) -> Vec<f32> {
        self.shared.vector(text)
    }
}

impl Drop for EmbeddingService {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes who listens.
        drop(TcpStream::connect(self.address));
    }
}

struct Request {
    path: String,
    key: Option<String>,
    body: Value,
}

impl Shared {
    fn vector(&self, text: &str) -> Vec<f32> {
        self.embedder.embed(&[text]).unwrap().remove(0)
    }

    /// Answers request after request of a connection.
    fn serve(&self, mut connection: TcpStream) -> std::io::Result<()> {
        connection.set_nodelay(true)?;
        let mut reader = BufReader::new(connection.try_clone()?);
        while let Some(request) = read(&mut reader)? {
            let fault = match self.next.lock().unwrap().pop_front() {
                Some(fault) => fault,
                None => self.standing.lock().unwrap().clone(),
            };
            let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
            self.running_max.fetch_max(running, Ordering::Relaxed);
            let goes_on = self.answer(&mut connection, &request, &fault);
            self.running.fetch_sub(1, Ordering::Relaxed);
            if !goes_on? {
                break;
            }
        }
        Ok(())
    }

    /// Whether the connection goes on.
    fn answer(&self, connection: &mut TcpStream, request: &Request, fault: &Fault) -> std::io::Result<bool> {
        let texts = texts(&request.body);
        match fault {
            Fault::Slow(pause) => std::thread::sleep(*pause),
            Fault::SlowText(pause) => std::thread::sleep(*pause * texts.len() as u32),
            _ => {}
        }
        let key = self.key.lock().unwrap().clone();
        let (status, retry_after, body) = match fault {
            Fault::Down => return Ok(false),
            Fault::Hang => {
                // The end of the connection, or its breakdown.
                let _ = connection.read(&mut [0]);
                return Ok(false);
            }
            _ if key.is_some() && key != request.key => (401, None, json!({"error": "a key is missing"})),
            Fault::TooMany { retry_after } => (429, *retry_after, json!({"error": "too many requests"})),
            Fault::Status(status) => {
                let reason = format!("refused, {}", request.key.as_deref().unwrap_or("no key"));
                (*status, None, json!({"error": {"message": reason}}))
            }
            Fault::Poison(poison) if texts.iter().any(|text| text.contains(poison)) => (
                400,
                None,
                json!({"error": {"message": "a text cannot be embedded"}}),
            ),
            _ if request.path.ends_with("/rerank") => reranked(request, &texts, fault),
            _ => self.embedded(request, &texts, fault),
        };
        self.seen.lock().unwrap().push(Seen {
            texts,
            status,
            body: request.body.clone(),
        });
        let body = body.to_string();
        let retry_after = retry_after.map_or(String::new(), |seconds| format!("retry-after: {seconds}\r\n"));
        let head = |length: usize| {
            format!(
                "HTTP/1.1 {status} -\r\ncontent-type: application/json\r\n{retry_after}content-length: {length}\r\n\r\n"
            )
        };
        match fault {
            Fault::Cut => {
                write!(connection, "{}{}", head(body.len()), &body[..body.len() / 2])?;
                Ok(false)
            }
            Fault::Endless => {
                write!(connection, "{}[[0.5", head(1 << 40))?;
                loop {
                    connection.write_all(&[b'5'; 1 << 16])?;
                }
            }
            _ => {
                write!(connection, "{}{body}", head(body.len()))?;
                Ok(true)
            }
        }
    }

    /// The answer in the format of the endpoint.
    fn embedded(&self, request: &Request, texts: &[String], fault: &Fault) -> (u16, Option<u64>, Value) {
        let mut vectors: Vec<Vec<f32>> = texts.iter().map(|text| self.vector(text)).collect();
        match fault {
            Fault::WrongDimension => vectors.iter_mut().for_each(|vector| vector.push(0.5)),
            Fault::NotANumber => vectors.iter_mut().for_each(|vector| vector[0] = f32::NAN),
            Fault::OneTooFew => drop(vectors.pop()),
            _ => {}
        }
        let body = match request.path.as_str() {
            "/v1/embeddings" => {
                let base64 = request.body["encoding_format"] == "base64";
                // In another order than asked for: `index` says which is which.
                let entry = |(index, vector): (usize, &Vec<f32>)| {
                    let embedding = if base64 { in_base64(vector) } else { json!(vector) };
                    json!({"object": "embedding", "index": index, "embedding": embedding})
                };
                let data: Vec<Value> = vectors.iter().enumerate().rev().map(entry).collect();
                json!({"object": "list", "data": data, "model": request.body["model"], "usage": {"prompt_tokens": 1, "total_tokens": 1}})
            }
            "/embed" => json!(vectors),
            "/api/embed" => {
                json!({"model": request.body["model"], "embeddings": vectors, "total_duration": 1})
            }
            _ => return (404, None, json!({"error": "not found"})),
        };
        (200, None, body)
    }
}

/// How well a text answers a query, to the service's mind: a number from 0 to 1 that is in no order a search could have.
pub fn rerank_score(query: &str, text: &str) -> f32 {
    let hash = xxhash_rust::xxh3::xxh3_64(format!("{query}|{text}").as_bytes());
    (hash % 10_000) as f32 / 10_000.0
}

/// The best text first, as services answer: `index` says which is which.
fn reranked(request: &Request, texts: &[String], fault: &Fault) -> (u16, Option<u64>, Value) {
    let query = request.body["query"].as_str().unwrap_or_default();
    let name = if request.path == "/rerank" {
        "score"
    } else {
        "relevance_score"
    };
    let mut scores: Vec<(usize, f32)> = texts
        .iter()
        .map(|text| rerank_score(query, text))
        .enumerate()
        .collect();
    scores.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    match fault {
        Fault::NotANumber => scores[0].1 = f32::NAN,
        Fault::OneTooFew => drop(scores.pop()),
        _ => {}
    }
    let entries: Vec<Value> = scores
        .iter()
        .map(|(index, score)| json!({"index": index, name: score}))
        .collect();
    match &*request.path {
        "/rerank" => (200, None, json!(entries)),
        _ => (200, None, json!({"id": "x", "results": entries})),
    }
}

fn in_base64(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// The texts of a request in any of the formats.
fn texts(body: &Value) -> Vec<String> {
    let names = ["input", "inputs", "texts", "documents"];
    let input = names
        .iter()
        .find_map(|name| body.get(name))
        .unwrap_or(&Value::Null);
    match input {
        Value::String(text) => vec![text.clone()],
        Value::Array(texts) => texts
            .iter()
            .filter_map(|text| text.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// The next request of a connection; `None` where the client has closed it.
fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let (mut key, mut length) = (None, 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => key = value.trim().strip_prefix("Bearer ").map(str::to_owned),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Some(Request { path, key, body }))
}
