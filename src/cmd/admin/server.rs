//! A small server for those who look: GET and HEAD, one thread, everything bounded.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::live_status::{LiveStatus, Reply, Resource};
use crate::report::status::html::INDEX;
use crate::report::status::prometheus;

/// Concurrent connections; more of them wait.
const CONNECTIONS: usize = 64;

/// Time limit for the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// Time limit for a whole connection: enough for the largest report over a slow line.
const WHOLE: Duration = Duration::from_secs(120);

/// Forbids everything that our pages do not need.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'self'; \
    img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves for ever.
pub(super) fn run(listener: TcpListener, view: LiveStatus) -> io::Result<()> {
    // Under an address that others reach, the names under which they do are none of ours.
    let by_any_name = !listener.local_addr()?.ip().is_loopback();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let view = Rc::new(RefCell::new(view));
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let permit = permits.clone().acquire_owned().await;
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for the status");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let view = view.clone();
            tokio::task::spawn_local(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let response = if by_any_name || is_by_address(request.headers()) {
                        answer(&mut view.borrow_mut(), &request)
                    } else {
                        text(StatusCode::MISDIRECTED_REQUEST, "ask for it by its address, or as localhost\n")
                    };
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEAD)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that leaves early is not an error.
                let _ = tokio::time::timeout(WHOLE, connection).await;
                drop(permit);
            });
        }
    })
}

fn answer(view: &mut LiveStatus, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let (wanted, content_type) = match request.uri().path() {
        "/" => (Resource::Page(INDEX), "text/html; charset=utf-8"),
        "/metrics" => (Resource::Metrics, prometheus::CONTENT_TYPE),
        "/healthz" => (Resource::Health, "text/plain; charset=utf-8"),
        "/status.json" => (Resource::Json, "application/json"),
        path => match path.strip_prefix('/') {
            Some(name) if name.ends_with(".js") => (Resource::Page(name), "text/javascript; charset=utf-8"),
            _ => return text(StatusCode::NOT_FOUND, "there is /, /metrics, /status.json and /healthz\n"),
        },
    };
    match view.find(wanted) {
        Reply::Content(content) => response(StatusCode::OK, content_type, content),
        Reply::Nothing => text(StatusCode::NOT_FOUND, "there is no such file\n"),
        Reply::Trouble(why) => {
            tracing::warn!("the status cannot be shown: {why}");
            text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n"))
        }
    }
}

/// Whether the request names the server by an address, or as localhost. A page of somebody else may have a
/// name that leads to the loopback address of who looks at it, and would be let to read the answer.
fn is_by_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

fn text(status: StatusCode, content: &str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(content.as_bytes()))
}

fn response(status: StatusCode, content_type: &'static str, content: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content));
    *response.status_mut() = status;
    let headers: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses() {
        let by = |host: &'static str| {
            is_by_address(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]))
        };
        for host in
            ["127.0.0.1", "127.0.0.1:9090", "localhost", "LOCALHOST:1", "[::1]:80", "[::1]", "10.0.0.7:9"]
        {
            assert!(by(host), "{host}");
        }
        for host in [
            "evil.example.com",
            "evil.example.com:9090",
            "localhost.evil.example",
            "127.0.0.1.evil.example:80",
            "",
        ] {
            assert!(!by(host), "{host}");
        }
        assert!(is_by_address(&HeaderMap::new()));
    }
}
