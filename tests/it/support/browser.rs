//! A real browser without a window: Chromium, told what to do by chromedriver over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

/// A browser with one page; it ends with the value.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    _profile: tempfile::TempDir,
    /// One browser at a time: it takes several processors, and so do other tests. Given back last.
    _turn: MutexGuard<'static, ()>,
}

/// How long a single command may take. To start a browser takes seconds, and minutes where everything is
/// slow.
const SLOW: Duration = Duration::from_secs(180);

impl Browser {
    /// Starts one. Fails if Chromium or chromedriver are missing.
    pub fn start() -> Self {
        use std::os::unix::process::CommandExt as _;
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed has ended its browser all the same.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            // With all that it starts it is one group, which ends as one.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is there: Debian's package chromium-driver");
        let mut lines = BufReader::new(driver.stdout.take().unwrap());
        let port = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).unwrap() > 0, "chromedriver has ended");
            if let Some((_, port)) =
                line.trim_end().trim_end_matches('.').rsplit_once("successfully on port ")
            {
                break port.parse().unwrap();
            }
        };
        // Nobody listens, but it may go on writing.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Browser {
            driver,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            _profile: profile,
            _turn: turn,
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            &format!("--user-data-dir={}", browser._profile.path().display()),
        ];
        let options = json!({ "binary": chromium(), "args": arguments });
        let logs = json!({ "browser": "ALL", "performance": "ALL" });
        let wanted =
            json!({ "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs });
        let session = browser.post("/session", json!({ "capabilities": { "alwaysMatch": wanted } }));
        browser.session = format!("/session/{}", session["sessionId"].as_str().unwrap());
        // What the browser's own first page asks for is nobody's concern.
        browser.open("about:blank");
        browser.requests();
        browser
    }

    fn post(&self, path: &str, body: Value) -> Value {
        let path = format!("{}{path}", self.session);
        let body = body.to_string();
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SLOW)).unwrap();
        // It answers only those who call it by this name.
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).unwrap();
        // It keeps the connection open, whatever it is asked.
        let mut lines = BufReader::new(stream);
        let (mut status, mut length) = (String::new(), 0);
        lines.read_line(&mut status).unwrap();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            match line.trim_end().to_ascii_lowercase().split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse().unwrap(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).unwrap();
        let value: Value = serde_json::from_slice(&body).unwrap();
        assert!(status.starts_with("HTTP/1.1 200 "), "{path}: {value:#}");
        value["value"].clone()
    }

    /// Goes to a page and waits until it has loaded.
    pub fn open(&self, url: &str) {
        self.post("/url", json!({ "url": url }));
    }

    /// Runs a script in the page; returns what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// A command of the browser's own protocol.
    pub fn command(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    /// As on a screen of that size, under a system of light or dark colours.
    pub fn on(&self, screen: Screen, scheme: &str) {
        let (width, height, mobile) = match screen {
            Screen::Desktop => (1280, 900, false),
            Screen::Phone => (390, 844, true),
        };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.command("Emulation.setDeviceMetricsOverride", size);
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.command("Emulation.setEmulatedMedia", json!({ "features": [feature] }));
    }

    /// Presses a key where the focus is.
    pub fn press(&self, key: &str) {
        // Without its text, Enter activates nothing.
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key, "text": text });
            self.command("Input.dispatchKeyEvent", event);
        }
    }

    /// What the page has said on its console since this was asked last.
    pub fn console(&self) -> Vec<String> {
        let said = self.post("/se/log", json!({ "type": "browser" }));
        said.as_array().unwrap().iter().map(|entry| entry["message"].to_string()).collect()
    }

    /// Every URL that was asked for since this was asked last.
    pub fn requests(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({ "type": "performance" }));
        let message =
            |entry: &Value| -> Value { serde_json::from_str(entry["message"].as_str().unwrap()).unwrap() };
        let messages = log.as_array().unwrap().iter().map(message);
        messages
            .filter(|message| message["message"]["method"] == "Network.requestWillBeSent")
            .map(|message| message["message"]["params"]["request"]["url"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What axe-core finds against WCAG 2.2 A and AA and its own best practices, as `rule: element`.
    pub fn accessibility(&self) -> Vec<String> {
        const AXE: &str = include_str!("../../axe/axe.min.js");
        self.run(&format!("{AXE}; window.axe = axe; return 0"));
        let script = "return axe.run(document, { resultTypes: ['violations'] }).then((found) => \
            found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.target} ${node.failureSummary}`)))";
        serde_json::from_value(self.run(script)).unwrap()
    }

    /// Keeps a picture of the upper part of the page in `$SCREENSHOTS`, if that names a directory: to be
    /// looked at.
    pub fn picture(&self, name: &str) {
        let Some(directory) = std::env::var_os("SCREENSHOTS") else { return };
        let size = self.run("return [innerWidth, Math.min(2100, document.documentElement.scrollHeight)]");
        let part = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let wanted = json!({ "format": "png", "captureBeyondViewport": true, "clip": part });
        let picture = self.command("Page.captureScreenshot", wanted);
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(PathBuf::from(directory).join(format!("{name}.png")), bytes).unwrap();
    }
}

/// How large the screen is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    Desktop,
    Phone,
}

fn chromium() -> &'static str {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .expect("Chromium is there: Debian's package chromium")
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser's processes are in its driver's group.
        let _ = kill_process_group(Pid::from_child(&self.driver), Signal::KILL);
        let _ = self.driver.wait();
    }
}
