//! The rules of the source that the compiler does not know: layers, who may do what, sizes.
//!
//! The rules stand in the documentation of `src/lib.rs`; a rule that does not fit is changed there and here, not bent.

mod layers;
mod source;

use std::fs;

use layers::Layers;
use source::{Source, all, files, package};

/// Fails with every line of `faults`.
#[track_caller]
fn assert_none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}\n  {}", faults.join("\n  "));
}

/// The files that mention one of `words`, but for those that `allowed` lists with the reason.
///
/// An entry of `allowed` is a file, or a directory if it ends in `/`. One that no file needs is a fault, too: a
/// permission that is not used is forgotten and then misused.
fn mentions(words: &[&str], allowed: &[(&str, &str)]) -> Vec<String> {
    let permits =
        |path: &str, entry: &str| path == entry || (entry.ends_with('/') && path.starts_with(entry));
    let users: Vec<(String, &str)> = all()
        .iter()
        .filter_map(|source| Some((source.path.clone(), *words.iter().find(|word| source.mentions(word))?)))
        .collect();
    let forbidden = users
        .iter()
        .filter(|(path, _)| !allowed.iter().any(|(entry, _)| permits(path, entry)))
        .map(|(path, word)| format!("{path}: `{word}`"));
    let unused = allowed
        .iter()
        .filter(|(entry, _)| !users.iter().any(|(path, _)| permits(path, entry)))
        .map(|(entry, reason)| format!("{entry}: is allowed this ({reason}) and does not need it"));
    forbidden.chain(unused).collect()
}

fn lib() -> String {
    fs::read_to_string(package().join("src/lib.rs")).unwrap()
}

#[test]
fn every_module_has_a_layer_and_imports_from_below() {
    let sources = all();
    let layers = Layers::parse(&lib());
    let mut faults: Vec<_> = sources
        .iter()
        // What only declares its submodules needs none of its own: `responder`.
        .filter(|source| !source.module.is_empty() && layers.unit(&source.module).is_none())
        .filter(|source| !layers.modules().any(|module| module.starts_with(&source.module)))
        .map(|source| format!("{}: is not in the table of src/lib.rs", source.path))
        .collect();
    let missing =
        layers.modules().filter(|module| !sources.iter().any(|source| source.module.starts_with(module)));
    faults.extend(
        missing.map(|module| format!("`{}` is in the table, but there is no such module", module.join("::"))),
    );
    faults.extend(layers.faults(&sources));
    assert_none("a module imports from its own layer without circles, and from lower ones", &faults);
}

/// What is published in out/ is all that the responder judges by, and `otapress-cgi` starts for every request.
#[test]
fn the_responder_knows_no_fleet_and_links_little() {
    let heavy = ["tera", "serde_yaml", "clap", "csv", "jiff", "anyhow", "indicatif"];
    let asynchronous = ["tokio", "hyper", "hyper_util", "http_body_util", "tracing", "rumqttc"];
    let responds = |source: &&Source| {
        source.path == "src/bin/otapress-cgi.rs"
            || source.module.first().is_some_and(|root| root == "responder" || root == "store")
    };
    let mut faults = Vec::new();
    for source in all().iter().filter(responds) {
        let is_http = source.module.starts_with(&["responder".into(), "http".into()]);
        // The client of the database is asynchronous; `otapress-cgi` does not have it.
        let is_client = source.path.starts_with("src/store/postgres/");
        let crates = heavy.iter().chain(asynchronous.iter().filter(|_| !is_http && !is_client));
        faults.extend(
            crates
                .filter(|name| source.mentions(&format!("{name}::")))
                .map(|name| format!("{}: uses `{name}`", source.path)),
        );
        let fleet = source.paths().into_iter().find(|path| path.first().is_some_and(|root| root == "fleet"));
        faults.extend(fleet.map(|path| format!("{}: imports `{}`", source.path, path.join("::"))));
    }
    assert_none("responder, store and otapress-cgi", &faults);
}

#[test]
fn file_formats_are_read_and_written_in_two_places() {
    let serialize = mentions(
        &["Serialize", "Serializer"],
        &[
            ("src/wire.rs", "the format of out/ and of answers"),
            ("src/template.rs", "the context that a template sees; nobody reads it back"),
            ("src/cmd/config/mod.rs", "the context that a template sees; nobody reads it back"),
            ("src/cmd/config/busybox.rs", "the context that a template sees; nobody reads it back"),
            ("src/cmd/config/systemd.rs", "the context that a template sees; nobody reads it back"),
            ("src/cmd/config/templates.rs", "the context that a template sees; nobody reads it back"),
            ("src/cmd/config/values.rs", "the context that a template sees; nobody reads it back"),
        ],
    );
    let deserialize = mentions(
        &["Deserialize", "Deserializer"],
        &[
            ("src/wire.rs", "the format of out/ and of answers"),
            ("src/fleet/raw.rs", "the format of fleet.yaml"),
        ],
    );
    assert_none("only wire and fleet::raw know formats", &[serialize, deserialize].concat());
}

#[test]
fn only_the_publisher_writes_in_out() {
    let writes = [
        "fs::write",
        "fs::copy",
        "fs::rename",
        "fs::hard_link",
        "fs::remove_file",
        "fs::remove_dir",
        "fs::remove_dir_all",
        "fs::create_dir",
        "fs::create_dir_all",
        "fs::set_permissions",
        "fs::symlink",
        "renameat_with",
        "File::create",
        "File::create_new",
        "File::options",
        "OpenOptions",
        "DirBuilder",
        "tempfile",
    ];
    let faults = mentions(
        &writes,
        &[
            ("src/publish/disk.rs", "out/, on behalf of publish::apply"),
            ("src/publish/hashes.rs", "the cache of digests beside out/"),
            ("src/store/sqlite.rs", "the database in state/"),
            ("src/cmd/add.rs", "jars/"),
            ("src/cmd/build.rs", "the lock beside out/"),
            ("src/cmd/import.rs", "the inventory of `--inventory`"),
            ("src/cmd/files.rs", "what an operator asks for, where it is asked for"),
        ],
    );
    assert_none("files are made and removed in few places", &faults);
}

/// out/ depends on neither, and a decision is given its time. (`Instant` only measures how long to wait.)
#[test]
fn the_clock_and_the_environment_are_read_at_the_edge() {
    let reads = [
        "SystemTime::now",
        "Timestamp::now",
        "Zoned::now",
        ".elapsed_since_epoch",
        "env::var",
        "env::var_os",
        "env::vars",
        "env::args",
        "env::args_os",
        "env::current_dir",
        "env::temp_dir",
    ];
    let faults = mentions(
        &reads,
        &[
            ("src/bin/otapress-cgi.rs", "the program hands them to the adapter"),
            ("src/cmd/", "the commands hand them to all below"),
        ],
    );
    assert_none("only the programs and the commands read them", &faults);
}

/// Below the commands every failure has a type of its own.
#[test]
fn only_the_commands_use_anyhow() {
    let allowed = [("src/cmd/", "the commands"), ("src/cli.rs", "their caller")];
    assert_none("errors are typed", &mentions(&["anyhow"], &allowed));
}

#[test]
fn files_are_small_and_say_what_they_are_for() {
    let mut faults = Vec::new();
    for path in [files("src"), files("tests/it"), files("examples")].concat() {
        let text = fs::read_to_string(package().join(&path)).unwrap();
        let lines = text.lines().count();
        let most = match path.as_str() {
            "src/main.rs" => 39,
            // A row of cases is one idea, however long it gets.
            _ if path.starts_with("tests/") => 700,
            _ => 600,
        };
        if lines > most {
            faults.push(format!("{path}: {lines} lines, and {most} are the most"));
        }
        if !text.starts_with("//!") {
            faults.push(format!("{path}: does not open with `//!` and its purpose"));
        }
    }
    assert_none("one idea for each file", &faults);
}
