//! How each server is started: around the printed configuration stands what a distribution's own would be,
//! with defaults that are bad for devices: compression of everything, charsets, foreign types.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::hosts::{Process, Site, USER, give, if_root, program};

/// nginx with some configurations.
pub fn nginx(site: &Site, configurations: &[&str]) -> Process {
    let dir = site.text("");
    let main = site.path("main.conf");
    let user = if_root("user www-data;");
    let include: String = configurations.iter().map(|file| format!("include {file};\n")).collect();
    let text = format!(
        "daemon off; {user} worker_processes 2; pid {dir}tmp/nginx.pid; error_log {dir}logs/main.log;\n\
         events {{ }}\n\
         http {{\n\
         include /etc/nginx/mime.types; default_type application/octet-stream; charset utf-8;\n\
         gzip on; gzip_types *; gzip_min_length 1; sendfile on; access_log {dir}logs/access.log;\n\
         client_body_temp_path {dir}tmp/1; proxy_temp_path {dir}tmp/2; fastcgi_temp_path {dir}tmp/3;\n\
         uwsgi_temp_path {dir}tmp/4; scgi_temp_path {dir}tmp/5;\n\
         {include}}}\n"
    );
    fs::write(&main, text).unwrap();
    let mut command = Command::new(program("nginx"));
    command.arg("-c").arg(main).arg("-e").arg(site.path("logs/main.log"));
    Process::start(site, command)
}

/// fcgiwrap on `tmp/fcgi.socket`.
pub fn fcgiwrap(site: &Site) -> Process {
    let socket = site.path("tmp/fcgi.socket");
    let mut command = Command::new(program("spawn-fcgi"));
    command.arg("-n").arg("-s").arg(&socket).arg("-M").arg("0600");
    if !if_root(USER).is_empty() {
        command.args(["-u", USER, "-g", USER, "-U", USER, "-G", USER]);
    }
    command.arg("--").arg(program("fcgiwrap")).args(["-f", "-c", "2"]);
    Process::start(site, command).wait_for(|| socket.exists())
}

/// Apache with a configuration, and the modules that Debian enables and those that it asks for.
pub fn apache(site: &Site, address: SocketAddr, configuration: &str) -> Process {
    let (dir, modules) = (site.text(""), "/usr/lib/apache2/modules");
    let mut text = String::new();
    for module in [
        "mpm_event",
        "authn_core",
        "authz_core",
        "authz_host",
        "mime",
        "dir",
        "autoindex",
        "alias",
        "setenvif",
        "deflate",
        "filter",
        "negotiation",
        "reqtimeout",
        "cgid",
        "env",
        "headers",
        "rewrite",
        "auth_basic",
        "authn_file",
        "authz_user",
    ] {
        text += &format!("LoadModule {module}_module {modules}/mod_{module}.so\n");
    }
    text += &format!(
        "{user}\nListen {address}\nServerName localhost\nServerRoot {dir}tmp\nDefaultRuntimeDir {dir}tmp\n\
         PidFile {dir}tmp/apache.pid\nScriptSock {dir}tmp/cgid.socket\nErrorLog {dir}logs/main.log\n\
         TypesConfig /etc/mime.types\nAddDefaultCharset UTF-8\nSetOutputFilter DEFLATE\n\
         RequestReadTimeout header=20-40,minrate=500 body=10,minrate=500\n\
         <Directory />\nAllowOverride None\nRequire all denied\n</Directory>\n\
         Include {configuration}\n",
        user = if_root("User www-data\nGroup www-data"),
    );
    let main = site.path("main.conf");
    fs::write(&main, text).unwrap();
    let mut command = Command::new(program("apache2"));
    command.arg("-DFOREGROUND").arg("-f").arg(main);
    Process::start(site, command).listening(address)
}

/// lighttpd with a configuration.
pub fn lighttpd(site: &Site, address: SocketAddr, configuration: &str) -> Process {
    let dir = site.text("");
    give(&site.path("logs"));
    let text = format!(
        "server.modules = ( \"mod_deflate\" )\n\
         server.bind = \"127.0.0.1\"\nserver.port = {port}\n{user}\n\
         server.document-root = \"{dir}tmp\"\nserver.errorlog = \"{dir}logs/main.log\"\n\
         server.upload-dirs = ( \"{dir}tmp\" )\n\
         deflate.mimetypes = ( \"text/\", \"application/\" )\n\
         deflate.allowed-encodings = ( \"gzip\" )\n\
         include \"{configuration}\"\n",
        port = address.port(),
        user = if_root("server.username = \"www-data\"\nserver.groupname = \"www-data\""),
    );
    let main = site.path("main.conf");
    fs::write(&main, text).unwrap();
    let mut command = Command::new(program("lighttpd"));
    command.arg("-D").arg("-f").arg(main);
    Process::start(site, command).listening(address)
}

/// busybox httpd, set up as the printed httpd.conf says in its comments.
pub fn busybox(site: &Site, address: SocketAddr) -> Process {
    let (cgi, listen, conf) = (site.text("bin/otapress-cgi"), address.to_string(), site.path("httpd.conf"));
    let printed = site.otapress(&["config", "busybox", "--listen", &listen, "--cgi", &cgi]);
    fs::write(&conf, &printed).unwrap();
    let bin = site.path("www/cgi-bin");
    fs::create_dir_all(&bin).unwrap();
    symlink(cgi, bin.join("ota")).unwrap();
    symlink("ota", bin.join("index.cgi")).unwrap();
    let mut command = Command::new(program("busybox"));
    command.args(["httpd", "-f", "-p", &listen]).arg("-h").arg(site.path("www")).arg("-c").arg(conf);
    if !if_root(USER).is_empty() {
        command.args(["-u", USER]);
    }
    command.env("OTAPRESS_OUT", site.path("out")).env("OTAPRESS_STATE", site.path("state"));
    Process::start(site, command).listening(address)
}
