//! A headless Chromium, and a server of one page's folder to which the page says what it finds.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Names that Chromium has.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// What a page sent: the address it posted to, and what.
pub struct Sent {
    pub to: String,
    pub body: Vec<u8>,
}

/// A browser that shows a page; it ends with this.
pub struct Browser {
    child: Child,
    sent: Receiver<Sent>,
    _profile: tempfile::TempDir,
}

/// The browser's program, or `None` where there is none and none is required.
pub fn program() -> Option<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).flat_map(|folder| NAMES.map(|name| folder.join(name))).find(|path| path.is_file());
    if found.is_none() {
        let required = std::env::var_os("KILN_REQUIRE_BROWSER").is_some_and(|v| v == "1");
        assert!(!required, "KILN_REQUIRE_BROWSER is set and there is no {}: install chromium", NAMES.join(", "));
        eprintln!("skipped: there is no Chromium; KILN_REQUIRE_BROWSER=1 makes this a failure");
    }
    found
}

impl Browser {
    /// Serves `roots` (a file is taken from the first that has it) and shows a page of them.
    pub fn show(program: &Path, roots: Vec<PathBuf>, page: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (send, sent) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (roots, send) = (roots.clone(), send.clone());
                std::thread::spawn(move || answer(&stream, &roots, &send));
            }
        });
        let profile = tempfile::tempdir().expect("a folder");
        let child = Command::new(program)
            .args(["--headless=new", "--no-sandbox", "--no-first-run", "--disable-background-networking", "--disable-component-update"])
            // SwiftShader: the same on every machine.
            .args(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--window-size=1000,1400"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://127.0.0.1:{port}/{page}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the browser starts");
        Self { child, sent, _profile: profile }
    }

    /// Everything that the page sends up to `/done`.
    pub fn all(&self, patience: Duration) -> Vec<Sent> {
        let end = Instant::now() + patience;
        let mut all: Vec<Sent> = Vec::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let sent = self.sent.recv_timeout(left).unwrap_or_else(|_| {
                let said: Vec<&str> = all.iter().map(|sent| sent.to.as_str()).collect();
                panic!("the page did not come to its end in {patience:?}; it sent {said:?}")
            });
            if sent.to == "/done" {
                return all;
            }
            assert_ne!(sent.to, "/failed", "{}", String::from_utf8_lossy(&sent.body));
            all.push(sent);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // One that has ended already is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers one request.
fn answer(stream: &TcpStream, roots: &[PathBuf], send: &Sender<Sent>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let path = path.split('?').next().unwrap_or_default().to_string();
    let mut out = stream;
    if method == "POST" {
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let _ = send.send(Sent { to: path, body });
        return out.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").ok();
    }
    let name = if path == "/" { "index.html" } else { path.trim_start_matches('/') };
    let inside = !name.split('/').any(|part| part == "..");
    let found = roots.iter().filter(|_| inside).find_map(|root| std::fs::read(root.join(name)).ok());
    let kind = match name.rsplit('.').next() {
        Some("html") => "text/html",
        Some("css") => "text/css",
        Some("js") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    out.write_all(head.as_bytes()).and_then(|()| out.write_all(&body)).ok()
}
