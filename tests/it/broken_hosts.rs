//! Real servers with what people get wrong, each by a small change of the printed configuration or by one
//! that is written by hand: `otapress probe` finds exactly that.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::support::hosted::Host;
use crate::support::hosts::{Process, Site};
use crate::support::ports::free_address;
use crate::support::servers;

/// Changes what stands in a file.
#[track_caller]
fn change(file: &str, old: &str, new: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(old), "`{old}` is not in {text}");
    fs::write(file, text.replace(old, new)).unwrap();
}

/// The text from `begin` to `end`.
fn block<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let from = text.find(begin).unwrap();
    let to = from + text[from..].find(end).unwrap() + end.len();
    &text[from..to]
}

/// nginx with fcgiwrap, its configuration broken.
fn nginx(site: &Site, break_it: impl FnOnce(&str)) -> (SocketAddr, [Process; 2]) {
    let address = free_address();
    let printed = site.configure(address, "nginx", &["--fcgiwrap", &site.text("tmp/fcgi.socket")]);
    break_it(&printed);
    (address, [servers::fcgiwrap(site), servers::nginx(site, &[&printed]).listening(address)])
}

#[track_caller]
fn nginx_finds(codes: &[&str], break_it: impl FnOnce(&str)) {
    let site = Site::new(|yaml| yaml);
    let (address, _running) = nginx(&site, break_it);
    Host { site: &site, address }.finds(codes);
}

#[track_caller]
fn apache_finds(codes: &[&str], break_it: impl FnOnce(&str)) {
    apache_of(&Site::new(|yaml| yaml), codes, break_it);
}

#[track_caller]
fn apache_of(site: &Site, codes: &[&str], break_it: impl FnOnce(&str)) {
    let address = free_address();
    let printed = site.configure(address, "apache", &[]);
    break_it(&printed);
    let _apache = servers::apache(site, address, &printed);
    Host { site, address }.finds(codes);
}

fn with_auth(yaml: String) -> String {
    yaml.replace("  apn: internet\n", "  apn: internet\n  otapUser: ota\n  otapPasswordFile: secrets/otap\n")
}

#[test]
fn default_types() {
    nginx_finds(&["jad-type", "jar-type"], |file| {
        change(file, "        default_type text/vnd.sun.j2me.app-descriptor;\n", "");
        change(file, "        default_type application/java-archive;\n", "");
    });
    // As on a system whose list of types is older than the devices.
    apache_finds(&["jad-type", "jar-type"], |file| {
        change(file, "ForceType text/vnd.sun.j2me.app-descriptor", "RemoveType .jad\nForceType text/plain");
        change(file, "ForceType application/java-archive", "ForceType application/zip");
    });
}

#[test]
fn compression() {
    nginx_finds(&["chunked", "compressed"], |file| change(file, "    gzip off;\n", ""));
    apache_finds(&["compressed"], |file| change(file, "    SetEnv no-gzip 1\n", ""));
}

/// What a static server says to a POST: nginx 405, Apache 404 where there is no file.
#[test]
fn posts_to_static_files() {
    nginx_finds(&["post-status"], |file| {
        let text = fs::read_to_string(file).unwrap();
        change(file, block(&text, "    if ($request_method = POST) {", "    }\n"), "");
    });
    apache_finds(&["post-status"], |file| {
        change(file, "    RewriteCond \"%{REQUEST_METHOD}\" \"=POST\" [OR]\n", "");
    });
}

#[test]
fn redirection_to_https() {
    nginx_finds(&["https-redirect"], |file| {
        change(file, "    charset off;\n", "    charset off;\n    return 301 https://$host$request_uri;\n");
    });
    apache_finds(&["https-redirect"], |file| {
        let rule =
            "    RewriteEngine On\n    RewriteRule \"^(.*)$\" \"https://%{HTTP_HOST}$1\" [R=301,END]\n";
        change(file, "    RewriteEngine On\n", rule);
    });
}

/// The server has a copy of out/ in which a transfer was cut off.
#[test]
fn jars_of_the_wrong_length() {
    let cut_off = |file: &str| {
        let dir = Path::new(file).parent().unwrap();
        let (out, copy) = (dir.join("out"), dir.join("copy"));
        assert!(Command::new("cp").arg("-a").args([&out, &copy]).status().unwrap().success());
        for line in fs::read_to_string(out.join("jars/SHA256SUMS")).unwrap().lines() {
            let jar = copy.join("jars").join(line.split_once("  ").unwrap().1);
            let bytes = fs::read(&jar).unwrap();
            fs::write(&jar, &bytes[..bytes.len() - 1]).unwrap();
        }
        change(file, out.to_str().unwrap(), copy.to_str().unwrap());
    };
    nginx_finds(&["jar-size"], cut_off);
    apache_finds(&["jar-size"], cut_off);
}

/// A proxy with a cache stands in front while a release is taken back.
#[test]
fn a_stale_cache() {
    let site = Site::new(|yaml| yaml);
    let (address, [_wrap, origin]) = nginx(&site, |_| {});
    drop(origin);
    let front = free_address();
    let (printed, cache, tmp) = (site.text("nginx.conf"), site.text("cache.conf"), site.text("tmp"));
    let text = format!(
        "proxy_cache_path {tmp}/cache keys_zone=ota:1m;\n\
         server {{\n    listen {front};\n    gzip off;\n    location / {{\n\
         proxy_pass http://{address};\n    proxy_set_header Host $http_host;\n\
         proxy_cache ota;\n    proxy_cache_valid 200 1h;\n    proxy_ignore_headers Cache-Control \
         Expires;\n    }}\n}}\n"
    );
    fs::write(&cache, text).unwrap();
    let _both = servers::nginx(&site, &[&printed, &cache]).listening(front);
    let (origin, front) = (Host { site: &site, address }, Host { site: &site, address: front });
    origin.is_clean();
    front.is_clean();
    change(&site.text("fleet.yaml"), "    release: 0.10.66\n", "    release: 0.10.65\n");
    site.otapress(&["build"]);
    origin.is_clean();
    front.finds(&["jad-stale"]);
    // The same with a cache that says what it does.
    change(&cache, "proxy_cache ota;", "proxy_cache ota; add_header X-Cache-Status $upstream_cache_status;");
    drop(_both);
    let _both = servers::nginx(&site, &[&printed, &cache]).listening(front.address);
    front.finds(&["cached", "jad-stale"]);
}

#[test]
fn no_password_where_there_should_be_one() {
    let site = Site::new(with_auth);
    let (address, _running) = nginx(&site, |file| change(file, "        auth_basic \"OTA\";\n", ""));
    Host { site: &site, address }.finds(&["no-auth"]);

    let site = Site::new(with_auth);
    apache_of(&site, &["no-auth"], |file| change(file, "Require valid-user", "Require all granted"));
}

#[test]
fn a_password_file_that_is_out_of_date() {
    let site = Site::new(with_auth);
    fs::write(site.path("secrets/otap"), "another\n").unwrap();
    apache_of(&site, &["auth-refused"], |_| {
        fs::write(site.path("secrets/otap"), "changed-since\n").unwrap();
    });
}

/// The first thing that comes to mind: nginx with `root`, and the responder at its paths.
#[test]
fn a_directory_that_is_simply_served() {
    let codes = [
        "chunked",
        "compressed",
        "directory-listing",
        "jad-cache-control",
        "post-status",
        "site-file-exposed",
        "vc-exposed",
    ];
    nginx_finds(&codes, |file| {
        let (printed, dir) = (fs::read_to_string(file).unwrap(), Path::new(file).parent().unwrap());
        let text = format!(
            "server {{\n{}    server_name ota.example.com;\n    root {}/out;\n    autoindex on;\n\
             location /otap/ {{\n    {}\n    }}\n}}\n",
            block(&printed, "    listen ", ";\n"),
            dir.display(),
            block(&printed, "fastcgi_pass", "CONTENT_LENGTH $content_length;"),
        );
        fs::write(file, text).unwrap();
    });
}

/// What keeps a responder from answering or remembering, on each way to it.
#[test]
fn a_responder_that_is_dead_or_forgets() {
    let site = Site::new(|yaml| yaml);
    let (address, [wrap, _nginx]) = nginx(&site, |_| {});
    let host = Host { site: &site, address };
    host.is_clean();
    site.forbids_writing("state", || host.finds(&["responder-state"]));
    host.is_clean();
    drop(wrap);
    host.finds(&["responder-down"]);

    let upstream = free_address();
    let site = Site::new(|yaml| yaml);
    let address = free_address();
    let printed = site.configure(address, "nginx", &["--upstream", &upstream.to_string()]);
    let _nginx = servers::nginx(&site, &[&printed]).listening(address);
    Host { site: &site, address }.finds(&["responder-down"]);

    let site = Site::new(|yaml| yaml);
    let address = free_address();
    let printed = site.configure(address, "apache", &[]);
    let _apache = servers::apache(&site, address, &printed);
    let host = Host { site: &site, address };
    host.is_clean();
    site.forbids_writing("state", || host.finds(&["responder-state"]));
    fs::remove_file(site.path("bin/otapress-cgi")).unwrap();
    host.finds(&["notify-status", "post-status", "version-status"]);
}

/// The responder reads no out/, that of before, or that of another fleet.
#[test]
fn a_responder_of_another_directory() {
    let out = |site: &Site| format!("OTAPRESS_OUT {}", site.text("out"));
    let site = Site::new(|yaml| yaml);
    let wrong = |file: &str| change(file, &out(&site), &out(&site).replace("/out", "/no-out"));
    let (address, _running) = nginx(&site, wrong);
    Host { site: &site, address }.finds(&["responder-out"]);

    let site = Site::new(|yaml| yaml);
    let unset = |file: &str| change(file, &format!("        fastcgi_param {};\n", out(&site)), "");
    let (address, _running) = nginx(&site, unset);
    Host { site: &site, address }.finds(&["responder-out"]);

    let site = Site::new(|yaml| yaml);
    let copy = |file: &str| {
        let copied = Command::new("cp").arg("-a").args([site.path("out"), site.path("copy")]).status();
        assert!(copied.unwrap().success());
        change(file, &out(&site), &out(&site).replace("/out", "/copy"));
    };
    let (address, _running) = nginx(&site, copy);
    Host { site: &site, address }.is_clean();
    change(&site.text("fleet.yaml"), "    release: 0.10.66\n", "    release: 0.10.65\n");
    site.otapress(&["build"]);
    // It upgrades those who run what is now their target.
    Host { site: &site, address }.finds(&["responder-stale"]);

    let site = Site::new(|yaml| yaml);
    let address = free_address();
    let printed = site.configure(address, "apache", &[]);
    change(&printed, "SetEnv OTAPRESS_OUT \"", "SetEnv OTAPRESS_OUT \"/nowhere");
    let _apache = servers::apache(&site, address, &printed);
    Host { site: &site, address }.finds(&["responder-out"]);
}

#[test]
fn serve_that_forgets_or_reads_another_directory() {
    let site = Site::new(|yaml| yaml);
    let serve = |global: &[&str]| {
        let address = free_address();
        let mut command = site.command();
        command.args(global).args(["serve", "--no-build", "--listen", &address.to_string()]);
        (address, Process::start(&site, command).listening(address))
    };
    // Below a file no directory can be made.
    let nowhere = site.text("fleet.yaml/state");
    let (address, _serve) = serve(&["--state", &nowhere]);
    Host { site: &site, address }.finds(&["responder-state"]);
    let copied = Command::new("cp").arg("-a").args([site.path("out"), site.path("copy")]).status();
    assert!(copied.unwrap().success());
    let (address, _serve) = serve(&["--out", &site.text("copy")]);
    let host = Host { site: &site, address };
    host.is_clean();
    fs::remove_dir_all(site.path("copy/vc")).unwrap();
    host.finds(&["responder-stale"]);
    fs::remove_file(site.path("copy/otapress.json")).unwrap();
    host.finds(&["responder-out"]);
}

/// What devices may still have been told is looked at, too.
#[test]
fn former_uris() {
    let site = Site::new(|yaml| yaml);
    let copy = |file: &str| {
        let copied = Command::new("cp").arg("-a").args([site.path("out"), site.path("copy")]).status();
        assert!(copied.unwrap().success());
        change(file, &site.text("out"), &site.text("copy"));
    };
    let (address, running) = nginx(&site, copy);
    let host = Host { site: &site, address };
    host.is_clean();
    let formerly = "  formerly:\n    otapURI: [http://ota.example.com/old/@/OwnTracks.jad]\n    \
                    versionURI: [http://ota.example.com/vc]\n    notifyURI: \
                    [http://ota.example.com/result/@]\n";
    change(&site.text("fleet.yaml"), "  apn: internet\n", &format!("{formerly}  apn: internet\n"));
    site.otapress(&["build"]);
    host.finds(&["jad-status", "notify-unpublished", "version-unpublished"]);
    drop(running);
    let (address, _running) = nginx(&site, |_| {});
    Host { site: &site, address }.is_clean();
}
