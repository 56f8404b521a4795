//! The binary as a user drives it: a command and what it printed, or a node that ends with its test.

use std::fmt::Debug;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How soon a node ends that was told to.
const STOP_MAX: Duration = Duration::from_secs(30);

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Asks again until there is an answer.
///
/// # Panics
/// There is none within [`PATIENCE`].
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, &mut ask).unwrap_or_else(|| panic!("not within {PATIENCE:?}: {what}"))
}

fn within<T>(patience: Duration, ask: &mut impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The standard output of a command that should have succeeded.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self.stdout
    }

    /// What a command said that should have failed, in one `error:`, and nothing else than that.
    #[track_caller]
    pub fn failure(self) -> String {
        assert_eq!(self.code, 1, "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        let (_, error) = self
            .stderr
            .split_once("error: ")
            .unwrap_or_else(|| panic!("{self:?}"));
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        error.trim_end().to_owned()
    }
}

/// Runs a command to its end.
pub fn millpond<A: AsRef<std::ffi::OsStr> + Debug>(arguments: &[A]) -> Ended {
    let mut running = Running::start(arguments);
    let what = format!("millpond {arguments:?} ends");
    let status = eventually(&what, || running.child.try_wait().unwrap());
    running.ended(status)
}

/// A process of the binary. It is killed when its test ends.
struct Running {
    child: Child,
    stdout: Printed,
    stderr: Printed,
}

impl Running {
    fn start<A: AsRef<std::ffi::OsStr>>(arguments: &[A]) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(arguments)
            .env_remove("MILLPOND_LOG")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stdout = Printed::by(child.stdout.take().expect("piped"));
        let stderr = Printed::by(child.stderr.take().expect("piped"));
        Running {
            child,
            stdout,
            stderr,
        }
    }

    fn ended(&mut self, status: ExitStatus) -> Ended {
        Ended {
            code: status.code().unwrap_or_else(|| panic!("{status}")),
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process prints, read on a thread so that it never waits for its reader.
struct Printed {
    text: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Printed {
    fn by(pipe: impl Read + Send + 'static) -> Printed {
        let text = Arc::new(Mutex::new(String::new()));
        let shared = text.clone();
        let reader = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                shared.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Printed {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    /// All of it, after the process has ended.
    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.so_far()
    }
}

/// A node with a port of its own, and a data directory that it may share with nodes before and after it.
pub struct Served {
    running: Running,
    url: String,
    agent: ureq::Agent,
    data: Arc<tempfile::TempDir>,
}

/// A status and a JSON body.
pub type Answer = (u16, Value);

impl Served {
    /// Starts a node in a data directory of its own, and returns when `/readyz` says that it is ready.
    pub fn start(dataflow: &Path) -> Served {
        Served::start_with(dataflow, &[])
    }

    /// The same, with more arguments.
    pub fn start_with(dataflow: &Path, more: &[&str]) -> Served {
        let node = Served::launch(dataflow, &new_data_dir(), more);
        node.ready();
        node
    }

    /// Starts a node on what one before it has left, and returns when it is ready.
    pub fn start_in(data: &Arc<tempfile::TempDir>, dataflow: &Path) -> Served {
        let node = Served::launch(dataflow, data, &[]);
        node.ready();
        node
    }

    /// Starts a node, and returns when its port is open: it may still be recovering.
    pub fn launch(dataflow: &Path, data: &Arc<tempfile::TempDir>, more: &[&str]) -> Served {
        let mut running = Running::start(&serve_arguments(dataflow, data.path(), more));
        let address = eventually("the log names the address", || {
            let log = running.stderr.so_far();
            if let Some(status) = running.child.try_wait().unwrap() {
                panic!("{status}: {}", running.stderr.whole());
            }
            let (_, rest) = log.split_once("serving address=")?;
            Some(rest.split_whitespace().next()?.to_owned())
        });
        Served {
            running,
            url: format!("http://{address}"),
            agent: agent(PATIENCE),
            data: data.clone(),
        }
    }

    /// Waits until `/readyz` says that what was stored is back and the sources have been read to where they ended.
    pub fn ready(&self) {
        self.until("/readyz", "it is ready", |(status, body)| {
            assert!(*status == 200 || *status == 503, "{status} {body}");
            *status == 200 && body["status"] == "ready"
        });
    }

    /// Waits until what was stored is back; the sources may have more.
    pub fn recovered(&self) {
        self.until("/readyz", "it has recovered", |(status, _)| *status == 200);
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the node has logged so far.
    pub fn log(&self) -> String {
        self.running.stderr.so_far()
    }

    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    pub fn get(&self, path: &str) -> Answer {
        let (status, body) = self.get_text(path);
        let json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body:?}"));
        (status, json)
    }

    pub fn get_text(&self, path: &str) -> (u16, String) {
        read(self.agent.get(format!("{}{path}", self.url)).call())
    }

    pub fn post(&self, path: &str, body: impl ureq::AsSendBody) -> Answer {
        let (status, body) = read(self.agent.post(format!("{}{path}", self.url)).send(body));
        let json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body:?}"));
        (status, json)
    }

    /// The answer to a search that succeeds.
    #[track_caller]
    pub fn search(&self, index: &str, request: &Value) -> Value {
        let path = format!("/v1/indexes/{index}/search");
        let (status, body) = self.post(&path, request.to_string());
        assert_eq!(status, 200, "{request}: {body}");
        body
    }

    /// Gets a path until the answer is as it should be.
    pub fn until(&self, path: &str, what: &str, mut holds: impl FnMut(&Answer) -> bool) -> Value {
        let mut last = None;
        let found = within(PATIENCE, &mut || {
            let answer = self.get(path);
            if holds(&answer) {
                return Some(answer.1);
            }
            last = Some(answer);
            None
        });
        found.unwrap_or_else(|| {
            panic!(
                "not within {PATIENCE:?}: {what}; {path} is {last:?}\n{}",
                self.log()
            )
        })
    }

    /// The stats of the index once its files are read to their end and every vector is searchable.
    pub fn caught_up(&self, index: &str) -> Value {
        self.until("/readyz", "the files are read", |(_, body)| {
            let sources = body["sources"].as_array().expect("sources are listed");
            sources.iter().all(|source| source["finished"] == true)
        });
        let read = sample(&self.get_text("/metrics").1, "millpond_messages_total");
        self.until(
            &format!("/v1/indexes/{index}/stats"),
            "what was read is searchable",
            |(_, stats)| stats["messages"].as_f64() == Some(read) && stats["vectors_pending"] == 0,
        )
    }

    pub fn pid(&self) -> u32 {
        self.running.child.id()
    }

    /// Sends a signal.
    pub fn tell(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.running.child), signal).unwrap();
    }

    /// Tells the node to stop, and returns its exit code and its log.
    pub fn stop(self, signal: Signal) -> (i32, String) {
        self.tell(signal);
        self.ended(signal)
    }

    /// Waits for the end that a signal has asked for, and returns the exit code and the log.
    pub fn ended(mut self, signal: Signal) -> (i32, String) {
        let child = &mut self.running.child;
        let Some(status) = within(STOP_MAX, &mut || child.try_wait().unwrap()) else {
            panic!("runs on {STOP_MAX:?} after {signal:?}:\n{}", self.log());
        };
        let ended = self.running.ended(status);
        (ended.code, ended.stderr)
    }

    /// Ends the node as `kill -9` does, and returns its log.
    pub fn kill(mut self) -> String {
        self.running.child.kill().unwrap();
        let status = self.running.child.wait().unwrap();
        let log = self.running.stderr.whole();
        assert_eq!(
            status.signal(),
            Some(Signal::KILL.as_raw()),
            "ended before: {log}"
        );
        log
    }
}

/// A data directory that is removed when the last node and test let go of it.
pub fn new_data_dir() -> Arc<tempfile::TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// What `millpond serve` is started with.
pub fn serve_arguments<'a>(dataflow: &'a Path, data: &'a Path, more: &'a [&str]) -> Vec<&'a Path> {
    let fixed = ["--listen", "127.0.0.1:0", "--data-dir"].map(Path::new);
    let mut arguments = vec![Path::new("serve"), dataflow];
    arguments.extend(fixed);
    arguments.push(data);
    arguments.extend(more.iter().map(Path::new));
    arguments
}

/// A client that takes any status for an answer.
pub fn agent(patience: Duration) -> ureq::Agent {
    let settings = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .timeout_global(Some(patience))
        .build();
    settings.into()
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, String) {
    let mut response = response.expect("the node answers");
    let body = response.body_mut().read_to_string().expect("a body of text");
    (response.status().as_u16(), body)
}

/// The sum of a metric's samples over its labels.
pub fn sample(metrics: &str, name: &str) -> f64 {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once("} ")?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.parse::<f64>().ok()
    });
    let values: Vec<f64> = values.collect();
    assert!(!values.is_empty(), "{name} is not in\n{metrics}");
    values.iter().sum()
}

/// A dataflow of the repository that reads `input` instead of its broker, in a folder of its own.
pub fn from_file(name: &str, input: &Path, folder: &Path) -> PathBuf {
    let source = format!("source = {{ kind = \"file\", path = {input:?}, framing = \"records\" }}");
    with_source(name, &source, folder)
}

/// A dataflow of the repository with another `source = ...` line.
pub fn with_source(name: &str, source: &str, folder: &Path) -> PathBuf {
    let text = std::fs::read_to_string(repository(&format!("dataflows/{name}.toml"))).unwrap();
    let changed: Vec<&str> = text
        .lines()
        .map(|line| {
            if line.starts_with("source = ") {
                source
            } else {
                line
            }
        })
        .collect();
    assert_eq!(
        changed.iter().filter(|line| **line == source).count(),
        1,
        "{name} has one source"
    );
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, changed.join("\n")).unwrap();
    path
}
