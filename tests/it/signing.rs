//! Signed suites, with a real openssl: what `sign` makes, and what builds say of signatures and certificates.
//!
//! `tests/signing.txt` has what is said of each case; `UPDATE_GOLDEN=1` rewrites it (and fails).

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::hosts::program;
use crate::support::jar::JarBuilder;
use crate::support::process::Serve;
use crate::support::project::{Project, SMALL, against_golden, files, make_jar, repository};

const CHAIN: &str = "signer.pem, inter.pem";
const NEW: &str = "jars/OwnTracks-0.10.66.jar";

/// Keys and certificates of an authority, an intermediate one and a signer, and of somebody else.
fn certify(dir: &Path) {
    let openssl = |arguments: &str| {
        let mut command = Command::new(program("openssl"));
        let done = command.args(arguments.split(' ')).current_dir(dir).output().unwrap();
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let key = "-newkey rsa:2048 -nodes";
    openssl(&format!("req -x509 {key} -keyout root.key -out root.pem -days 3650 -subj /CN=Root"));
    openssl(&format!("req -x509 {key} -keyout other.key -out other.pem -days 3650 -subj /CN=Other"));
    fs::write(dir.join("authority"), "basicConstraints=critical,CA:TRUE\n").unwrap();
    openssl(&format!("req {key} -keyout inter.key -out inter.csr -subj /CN=Intermediate"));
    openssl(
        "x509 -req -in inter.csr -CA root.pem -CAkey root.key -CAcreateserial -days 3000 -extfile authority \
         -out inter.pem",
    );
    openssl(&format!("req {key} -keyout signer.key -out signer.csr -subj /CN=Signer"));
    for (name, days) in [("signer", 1000), ("soon", 30)] {
        openssl(&format!(
            "x509 -req -in signer.csr -CA inter.pem -CAkey inter.key -CAcreateserial -days {days} -out \
             {name}.pem"
        ));
    }
    openssl("pkcs8 -topk8 -in signer.key -passout pass:geheim -out encrypted.key");
    openssl("rsa -traditional -in signer.key -out old.key");
    openssl("rsa -traditional -aes128 -in signer.key -passout pass:geheim -out old-encrypted.key");
    fs::write(dir.join("pass"), "geheim\n").unwrap();
    fs::write(dir.join("wrong-pass"), "geheimer\n").unwrap();
}

fn fleet(certificates: &str, more: &str) -> String {
    let signing = format!("vendor: Choral, signing: {{ certificates: [{certificates}]{more} }} }}");
    let fleet = SMALL.replace("vendor: Choral }", &signing);
    assert!(fleet.contains("signing"));
    fleet
}

/// A fleet on the newer of two releases, with certificates and keys beside it.
fn project() -> Project {
    let fleet = fleet(CHAIN, "").replace("stable: 0.10.65", "stable: 0.10.66");
    let project = Project::new(&fleet);
    certify(&project.path(""));
    project
}

fn sign(project: &Project, key: &str) {
    let ran = project.run(&format!("sign {NEW} --force --key {key}"));
    ran.expect(0, &format!("{NEW}.sig\n"), "");
}

/// The lines of a signature in a published JAD.
fn signature_in(jad: &str) -> Vec<&str> {
    let names = ["MIDlet-Certificate-1-1: ", "MIDlet-Certificate-1-2: ", "MIDlet-Jar-RSA-SHA1: "];
    let value = |name: &str| jad.lines().find_map(|line| line.strip_prefix(name));
    names.into_iter().filter_map(value).collect()
}

#[test]
fn openssl_verifies_what_is_signed_with_keys_of_every_form() {
    let project = project();
    let public = Command::new(program("openssl"))
        .args(["x509", "-in", "signer.pem", "-pubkey", "-noout", "-out", "signer.pub"])
        .current_dir(project.path(""))
        .status();
    assert!(public.unwrap().success());
    let forms = [
        "--key signer.key",
        "--key old.key",
        "--key encrypted.key --passphrase-file pass",
        "--key old-encrypted.key --passphrase-file pass",
    ];
    for form in forms {
        sign(&project, form.strip_prefix("--key ").unwrap());
        let text = project.read(&format!("{NEW}.sig"));
        assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
        let raw = openssl_base64(&text);
        assert_eq!(raw.len(), 256);
        project.write("raw", raw);
        let verified = Command::new(program("openssl"))
            .args(["dgst", "-sha1", "-verify", "signer.pub", "-signature", "raw", NEW])
            .current_dir(project.path(""))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&verified.stdout), "Verified OK\n", "{form}");
    }
    project.run("check").expect(0, "", "checked 2 devices: no mistakes\n");

    // The same signature by a command, and both in every JAD.
    let by_key = project.read(&format!("{NEW}.sig"));
    fs::remove_file(project.path(&format!("{NEW}.sig"))).unwrap();
    let mut command = project.command();
    let ran =
        command.args(["sign", NEW, "--command", "openssl dgst -sha1 -sign signer.key"]).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(project.read(&format!("{NEW}.sig")), by_key);
    project.build();
    let pem =
        |name: &str| -> String { project.read(name).lines().filter(|line| !line.starts_with('-')).collect() };
    for device in ["dev1", "dev2"] {
        let jad = project.read(&format!("out/files/{device}/OwnTracks.jad"));
        assert_eq!(signature_in(&jad), [&*pem("signer.pem"), &*pem("inter.pem"), by_key.trim_end()]);
    }
    let site = project.read("out/otapress.json");
    assert_eq!(site.matches("\"signed\": true").count(), 1, "{site}");
    let shown = project.run("show dev1");
    assert!(shown.stdout.contains("signed by Signer"), "{}", shown.stdout);
}

/// What openssl makes of base64.
fn openssl_base64(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut child = Command::new(program("openssl"))
        .args(["base64", "-d", "-A"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.trim_end().as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn what_is_refused_is_said_and_nothing_is_written() {
    let project = project();
    let mut said = String::new();
    let mut refused = |name: &str, arguments: &[&str]| {
        // Without a terminal nobody can be asked for a passphrase.
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(crate::support::programs::otapress()).current_dir(project.path(""));
        let ran = command.arg("sign").args(arguments).stdin(Stdio::null()).output().unwrap();
        assert_eq!((ran.status.code(), &*ran.stdout), (Some(1), &b""[..]), "{name}: {ran:?}");
        writeln!(said, "== {name}\n{}", String::from_utf8(ran.stderr).unwrap()).unwrap();
    };
    refused("another-key", &[NEW, "--key", "other.key"]);
    refused("key-missing", &[NEW, "--key", "no.key"]);
    refused("passphrase-missing", &[NEW, "--key", "encrypted.key"]);
    refused("passphrase-wrong", &[NEW, "--key", "old-encrypted.key", "--passphrase-file", "wrong-pass"]);
    refused("jar-that-is-none", &["fleet.yaml", "--key", "signer.key"]);
    refused("command-with-sha-256", &[NEW, "--command", "openssl dgst -sha256 -sign signer.key"]);
    refused(
        "command-that-signs-something-else",
        &[NEW, "--command", "openssl dgst -sha1 -sign signer.key pass"],
    );
    refused("command-without-output", &[NEW, "--command", "cat > /dev/null"]);
    refused("command-that-fails", &[NEW, "--command", "echo no token >&2; exit 3"]);
    // All are signed, or none.
    refused("one-of-two", &[NEW, "fleet.yaml", "--key", "signer.key"]);
    assert!(!project.path(&format!("{NEW}.sig")).exists());
    sign(&project, "signer.key");
    let before = project.read(&format!("{NEW}.sig"));
    refused("signed-already", &[NEW, "--key", "signer.key"]);
    project.write(&format!("{NEW}.sig"), "QUJD\n");
    project.run(&format!("sign {NEW} --key signer.key")).expect(0, &format!("{NEW}.sig\n"), "");
    assert_eq!(project.read(&format!("{NEW}.sig")), before, "a bad one is replaced");
    project.write("fleet.yaml", SMALL);
    refused("fleet-without-certificates", &[NEW, "--force", "--key", "signer.key"]);
    let wrong = against_golden(&said, &repository().join("tests/signing-refused.txt"));
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

#[test]
fn every_mistake_has_its_own_message() {
    let project = project();
    sign(&project, "signer.key");
    let (jar, good) = (fs::read(project.path(NEW)).unwrap(), project.read(&format!("{NEW}.sig")));
    project.build();
    let unsigned = project.read("fleet.yaml");
    for name in ["expired", "curve", "no-authority", "renewed"] {
        let file = format!("crates/publish/src/signing/fixtures/{name}.pem");
        project.write(&format!("{name}.pem"), fs::read(repository().join(file)).unwrap());
    }
    let mut said = String::new();
    let mut checked = |name: &str, fleet: &str, signature: Option<&str>| {
        project.write("fleet.yaml", fleet);
        match signature {
            Some(text) => project.write(&format!("{NEW}.sig"), text),
            None => drop(fs::remove_file(project.path(&format!("{NEW}.sig")))),
        }
        let ran = project.run("check");
        let text: Vec<_> = ran.stderr.lines().filter(is_said).map(without_numbers).collect();
        writeln!(said, "== {name}\n{}\n= {}\n", text.join("\n"), ran.status).unwrap();
    };
    let with = |certificates: &str, more: &str| {
        fleet(certificates, more).replace("stable: 0.10.65", "stable: 0.10.66")
    };
    let good = Some(&*good);
    checked("good", &unsigned, good);
    let another =
        JarBuilder::new("OwnTracks", "0.10.66", "Choral").attribute("MIDlet-Description", "x").build();
    project.write(NEW, another);
    checked("another-jar", &unsigned, good);
    project.write(NEW, &jar);
    checked("another-key", &with("other.pem", ""), good);
    checked("not-base64", &unsigned, Some("bogus!\n"));
    checked("two-lines", &unsigned, Some("QUJD\nQUJD\n"));
    checked("not-a-signature", &unsigned, Some("QUJD\n"));
    checked("wrong-order", &with("inter.pem, signer.pem", ""), good);
    checked("with-the-root", &with("signer.pem, inter.pem, root.pem", ""), good);
    checked("with-a-gap", &with("signer.pem, root.pem", ""), good);
    checked("expired", &with("expired.pem", ""), None);
    checked("expires", &with("soon.pem, inter.pem", ""), good);
    let allowed = with("soon.pem, inter.pem", "");
    let allowed = allowed.replace("vendor: Choral,", "vendor: Choral, allow: [certificate-expires],");
    checked("expires-and-is-allowed", &allowed, good);
    checked("not-rsa", &with("curve.pem", ""), good);
    checked("no-certificate", &with("pass", ""), good);
    checked("a-key", &with("signer.key", ""), good);
    checked("no-such-file", &with("none.pem", ""), good);
    checked("outside", &with("/etc/hostname", ""), good);
    checked("no-certificates", &with("", ""), good);
    checked("required", &with(CHAIN, ", required: true"), good);
    let plain = SMALL.replace("stable: 0.10.65", "stable: 0.10.66");
    checked("certificates-forgotten", &plain, good);
    checked("unsigned-after-signed", &unsigned, None);
    let pinned =
        |text: &str| text.replace("481\" }", "481\", release: 0.10.66 }").replace("0.10.66\nd", "0.10.65\nd");
    checked("unsigned-pin-after-signed", &pinned(&unsigned), None);
    let pinned_back = |text: &str| text.replace("481\" }", "481\", release: 0.10.65 }");
    checked("unsigned-pin-of-a-device-that-was-sent-a-signed-release", &pinned_back(&unsigned), good);
    checked("rollback-to-an-unsigned-release", &unsigned.replace("stable: 0.10.66", "stable: 0.10.65"), good);
    let otherwise = "stable: { release: 0.10.67, otherwise: 0.10.66, rollout: 50% }";
    let newer = JarBuilder::new("OwnTracks", "0.10.67", "Choral").build();
    project.write("jars/OwnTracks-0.10.67.jar", newer);
    let sign = "sign jars/OwnTracks-0.10.67.jar --key signer.key";
    project.run(sign).expect(0, "jars/OwnTracks-0.10.67.jar.sig\n", "");
    checked("unsigned-otherwise", &unsigned.replace("stable: 0.10.66", otherwise), None);
    fs::remove_file(project.path("jars/OwnTracks-0.10.67.jar.sig")).unwrap();
    checked(
        "unsigned-and-newer",
        &unsigned.replace("stable: 0.10.66", "other: 0.10.67").replace("channel: stable", "channel: other"),
        None,
    );
    fs::remove_file(project.path("jars/OwnTracks-0.10.67.jar")).unwrap();
    let small = format!("{unsigned}limits: {{ jad: 1kB }}\n");
    checked("jad-too-long-with-certificates", &small, good);

    // What a template writes by hand.
    let template = fs::read_to_string(repository().join("templates/OwnTracks.jad")).unwrap();
    let jad = project.read("out/files/dev1/OwnTracks.jad");
    let [first, second, signature] = signature_in(&jad)[..] else { panic!("{jad}") };
    let by_hand = |lines: &[(&str, &str)]| {
        let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
        project.write("templates/OwnTracks.jad", format!("{template}{lines}"));
    };
    let (one, two, rsa) = ("MIDlet-Certificate-1-1", "MIDlet-Certificate-1-2", "MIDlet-Jar-RSA-SHA1");
    by_hand(&[(one, first), (two, second), (rsa, signature)]);
    checked("by-hand", &plain, None);
    checked("by-hand-and-beside", &unsigned, good);
    by_hand(&[(one, first), (two, second), (rsa, "QUJD")]);
    checked("by-hand-and-no-signature", &plain, None);
    let old = "jars/OwnTracks-0.10.65.jar";
    project.write("fleet.yaml", &unsigned);
    project.run(&format!("sign {old} --key signer.key")).expect(0, &format!("{old}.sig\n"), "");
    let of_old = project.read(&format!("{old}.sig"));
    fs::remove_file(project.path(&format!("{old}.sig"))).unwrap();
    by_hand(&[(one, first), (two, second), (rsa, of_old.trim_end())]);
    checked("by-hand-and-of-the-release-before", &plain, None);
    by_hand(&[(one, second), (two, first), (rsa, signature)]);
    checked("by-hand-in-wrong-order", &plain, None);
    by_hand(&[(one, "QUJD"), (rsa, signature)]);
    checked("by-hand-without-a-certificate", &plain, None);
    by_hand(&[("MIDlet-Description", "another"), (one, first), (two, second), (rsa, signature)]);
    project.write(
        NEW,
        JarBuilder::new("OwnTracks", "0.10.66", "Choral").attribute("MIDlet-Description", "one").build(),
    );
    fs::remove_dir_all(project.path("out")).unwrap();
    checked("by-hand-with-another-attribute", &plain, None);
    let wrong = against_golden(&said, &repository().join("tests/signing.txt"));
    assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
}

/// Not a line of the file that a mistake is in: certificates are others in every run.
fn is_said(line: &&str) -> bool {
    ["error[", "warning[", "= hint", "checked"].iter().any(|part| line.contains(part))
}

/// A line without the day on which the certificates of this run end, and without how long they are.
fn without_numbers(line: &str) -> String {
    let between = |line: &str, before: &str, after: &str| {
        let found = line.split_once(before).and_then(|(head, rest)| Some((head, rest.split_once(after)?)));
        found.map_or_else(|| line.to_owned(), |(head, (_, tail))| format!("{head}{before}…{after}{tail}"))
    };
    between(&between(line, " expires on ", " days"), "the JAD has ", " bytes with its signature")
}

#[test]
fn every_byte_of_the_jar_is_signed() {
    let project = project();
    sign(&project, "signer.key");
    let jar = fs::read(project.path(NEW)).unwrap();
    for at in (0..jar.len()).step_by(97) {
        let mut changed = jar.clone();
        changed[at] ^= 1;
        project.write(NEW, changed);
        assert_eq!(project.run("check").status, 1, "byte {at}");
    }
}

#[test]
fn add_carries_the_signature_along() {
    let project = project();
    let new = JarBuilder::new("OwnTracks", "0.10.67", "Choral").build();
    project.write("new.jar", new);
    project.edit("fleet.yaml", "inter.pem] }", "inter.pem], required: true }");
    let ran = project.run("add new.jar");
    assert_eq!(ran.status, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("new.jar:1:1: error[jar-unsigned]: the JAR is not signed"), "{}", ran.stderr);
    project.run("sign new.jar --key signer.key").expect(0, "new.jar.sig\n", "");
    let ran = project.run("add new.jar");
    assert!(
        ran.status == 0 && ran.stdout.ends_with("OwnTracks-0.10.67.jar (with its signature)\n"),
        "{ran:?}"
    );
    let added = "jars/OwnTracks-0.10.67.jar.sig";
    assert_eq!(project.read(added), project.read("new.jar.sig"));
    // A JAR that was there gets its signature later.
    fs::remove_file(project.path(added)).unwrap();
    let ran = project.run("add new.jar --json");
    assert!(ran.stdout.contains("\"signed\": true") && ran.stdout.contains("\"added\": false"), "{ran:?}");
    assert_eq!(project.read(added), project.read("new.jar.sig"));
    project.write("new.jar.sig", "QUJD\n");
    let ran = project.run("add new.jar");
    assert_eq!(ran.status, 1);
    assert!(ran.stderr.starts_with("new.jar.sig:1:1: error[jar-signature]"), "{}", ran.stderr);
}

#[test]
fn a_plan_says_that_a_release_is_signed() {
    let project = project();
    project.build();
    sign(&project, "signer.key");
    let plan = project.run("plan");
    assert!(plan.stdout.contains("0.10.66 is signed now"), "{}", plan.stdout);
    assert!(project.run("plan --json").stdout.contains("\"signed\": true"));
    project.build();
    fs::remove_file(project.path(&format!("{NEW}.sig"))).unwrap();
    project.edit("fleet.yaml", "vendor: Choral,", "vendor: Choral, allow: [unsigned-after-signed],");
    let plan = project.run("plan");
    assert!(plan.stdout.contains("0.10.66 is not signed any more"), "{}", plan.stdout);
}

#[test]
fn no_key_gets_into_anything_that_is_written() {
    let project = project();
    let secrets: Vec<String> = ["signer.key", "old.key", "encrypted.key", "old-encrypted.key"]
        .into_iter()
        .flat_map(|name| project.read(name).lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.len() > 40 && !line.contains(' '))
        .chain(["geheim".into()])
        .collect();
    let before = files(&project.path(""));
    let mut said = String::new();
    for arguments in [
        format!("sign {NEW} --key signer.key -v"),
        format!("sign {NEW} --force --key old.key"),
        format!("sign {NEW} --force --key encrypted.key --passphrase-file pass -v"),
        format!("sign {NEW} --force --key encrypted.key --passphrase-file old.key"),
        format!("sign {NEW} --force --key pass"),
        "check -v".into(),
        "build -v".into(),
        "plan --json".into(),
        "show dev1 --json".into(),
    ] {
        let ran = project.run(&arguments);
        said += &(ran.stdout + &ran.stderr);
    }
    project.edit("fleet.yaml", "signer.pem", "signer.key, old-encrypted.key");
    said += &project.run("check").stderr;
    project.edit("fleet.yaml", "signer.key, old-encrypted.key", "signer.pem");
    for (path, content) in files(&project.path("")).iter().filter(|(path, _)| !before.contains_key(*path)) {
        let text = String::from_utf8_lossy(content);
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{path}");
    }
    assert!(secrets.iter().all(|secret| !said.contains(secret)), "{said}");
}

/// What a terminal shows of `sign` with an encrypted key, when that is typed as its passphrase; and the status.
fn typed(project: &Project, arguments: &str, passphrase: &[u8]) -> (String, Option<i32>) {
    use std::io::{Read as _, Write as _};
    let otapress = crate::support::programs::otapress();
    // Behind it the terminal shows what is typed, or it does not.
    let sign = format!(
        "{} sign {arguments} --color never; status=$?; stty -a | grep -o '[ -]echo '; exit $status",
        otapress.display()
    );
    let mut terminal = Command::new(program("script"))
        .args(["--quiet", "--return", "--command", &sign, "/dev/null"])
        .current_dir(project.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut screen) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let (mut shown, mut part) = (Vec::new(), [0; 256]);
    // Typed any earlier, the terminal would show it.
    while !shown.ends_with(b":") {
        let n = screen.read(&mut part).unwrap();
        assert_ne!(n, 0, "no prompt: {}", String::from_utf8_lossy(&shown));
        shown.extend_from_slice(&part[..n]);
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    keyboard.write_all(passphrase).unwrap();
    screen.read_to_end(&mut shown).unwrap();
    let shown = String::from_utf8(shown).unwrap().replace("\r\n", "\n");
    let shown = shown.strip_suffix(" echo \n").unwrap_or_else(|| panic!("the terminal is silent: {shown}"));
    (shown.to_owned(), terminal.wait().unwrap().code())
}

#[test]
fn a_terminal_is_asked_for_the_passphrase() {
    let project = project();
    let prompt = "Enter pass phrase for ./encrypted.key:";
    let wrong = "error: cannot sign `jars/OwnTracks-0.10.66.jar`: the key in `encrypted.key` is encrypted, and \
                 its passphrase is missing or wrong: name a file with it, `--passphrase-file FILE`";
    let one = format!("{NEW} --key encrypted.key");
    let (shown, status) = typed(&project, &one, b"geheimer\n");
    assert_eq!((shown.trim_end(), status), (&*format!("{prompt}\n{wrong}"), Some(1)));
    assert!(!project.path(&format!("{NEW}.sig")).exists());
    let (shown, status) = typed(&project, &one, b"geheim\n");
    assert_eq!((shown, status), (format!("{prompt}\n{NEW}.sig\n"), Some(0)));
    project.run("check").expect(0, "", "checked 2 devices: no mistakes\n");

    // Several JARs take one passphrase.
    let mut jars = vec![NEW.to_owned()];
    for n in 67..70 {
        let jar = format!("jars/OwnTracks-0.10.{n}.jar");
        project.write(&jar, make_jar(&format!("0.10.{n}"), "good"));
        jars.push(jar);
    }
    let signed: String = jars.iter().map(|jar| format!("{jar}.sig\n")).collect();
    let several = |key: &str| format!("{} --force --key {key}", jars.join(" "));
    for key in ["encrypted.key", "old-encrypted.key"] {
        let prompt = format!("Enter pass phrase for {key}:");
        let (shown, status) = typed(&project, &several(key), b"geheimer\n");
        let wrong = wrong.replace("encrypted.key", key);
        assert_eq!((shown.trim_end(), status), (&*format!("{prompt}\n{wrong}"), Some(1)));
        // Ctrl-C and the end of the input leave the terminal as it was.
        for given_up in [b"gehe\x03", &b"\x04"[..]] {
            let (shown, status) = typed(&project, &several(key), given_up);
            let said = format!("{prompt}\nerror: no passphrase was typed");
            assert_eq!((shown.trim_end(), status), (&*said, Some(1)));
        }
        let (shown, status) = typed(&project, &several(key), b"geheim\n");
        assert_eq!((shown, status), (format!("{prompt}\n{signed}"), Some(0)));
    }
    project.run("check").expect(0, "", "checked 2 devices: no mistakes\n");
    // A key that is not encrypted asks for nothing.
    project.run(&format!("sign {}", several("signer.key"))).expect(0, &signed, "");
}

#[test]
fn probe_verifies_what_is_served_as_a_device_does() {
    let project = project();
    sign(&project, "signer.key");
    project.build();
    let mut serve = project.command();
    serve.args(["serve", "--no-build", "--listen", "127.0.0.1:0"]);
    let serve = Serve::start(serve).unwrap_or_else(|ended| panic!("{ended:?}"));
    let url = format!("http://{}", serve.address);
    let found = || {
        let ran = project.run(&format!("probe {url} --json"));
        let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        let of = findings.filter(|finding| finding["code"] == "jar-signature");
        (ran.status, of.map(|finding| finding["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(found(), (0, vec![]));
    let out = files(&project.path("out"));
    let jar = out.keys().find(|path| path.contains("0.10.66") && path.ends_with(".jar")).unwrap();
    let mut changed = out[jar].clone();
    *changed.last_mut().unwrap() ^= 1;
    project.write(&format!("out/{jar}"), changed);
    let changed = "the JAR is refused with 909: the JAR is not the one that was signed: its bytes have changed \
                   since";
    assert_eq!(found(), (1, vec![changed.to_owned()]));
    project.write(&format!("out/{jar}"), &out[jar]);
    // A chain with the certificate of somebody else; both devices have one file.
    let pem =
        |name: &str| -> String { project.read(name).lines().filter(|line| !line.starts_with('-')).collect() };
    project.edit("out/files/dev1/OwnTracks.jad", &pem("inter.pem"), &pem("other.pem"));
    let (status, messages) = found();
    assert!(status == 1 && messages.iter().any(|message| message.contains("chain")), "{messages:?}");
}
