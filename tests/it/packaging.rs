//! The Debian package: installed, used and removed with dpkg, in a directory of its own and in a copy of this
//! system; and what else a release is made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use crate::book::follow_the_quickstart;
use crate::support::process::Serve;
use crate::support::programs::{otapress, otapress_cgi, write_program};
use crate::support::project::{files, repository};

/// Runs a program to its end, which must be a good one.
#[track_caller]
fn run(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> String {
    let command = Command::new(&program).args(args).env("SOURCE_DATE_EPOCH", "1700000000").output();
    let Output { status, stdout, stderr } =
        command.unwrap_or_else(|error| panic!("`{}`: {error}", program.as_ref().display()));
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Packs what is in a directory.
fn script(name: &str, bin: &Path, into: &Path) -> PathBuf {
    let program = repository().join("packaging").join(name);
    run(program, &[bin.to_str().unwrap(), into.to_str().unwrap()]).trim_end().into()
}

/// The package of what is tested here, without what a debugger needs, which is most of it; packed twice.
fn package() -> &'static Path {
    static PACKAGE: LazyLock<PathBuf> = LazyLock::new(|| {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("bin")).unwrap();
        for program in [otapress(), otapress_cgi()] {
            let into = path("bin").join(program.file_name().unwrap());
            run("strip", &["-o", into.to_str().unwrap(), program.to_str().unwrap()]);
        }
        let deb = script("deb", &path("bin"), &path("one"));
        let again = script("deb", &path("bin"), &path("two"));
        assert!(fs::read(&deb).unwrap() == fs::read(again).unwrap(), "packed twice, it is the same");
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("otapress.deb");
        fs::rename(deb, &kept).unwrap();
        kept
    });
    &PACKAGE
}

/// Runs a program as root.
#[track_caller]
fn as_root(command: &[&str]) -> String {
    match rustix::process::geteuid().is_root() {
        true => run(command[0], &command[1..]),
        false => run("sudo", &[&["-n"], command].concat()),
    }
}

/// Gives what root has made to whoever runs the tests.
fn hand_over(path: &Path) {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    as_root(&["chown", "-R", &format!("{}:{}", user.as_raw(), group.as_raw()), path.to_str().unwrap()]);
}

/// dpkg on a root of its own. All of it is root's: systemd-tmpfiles goes through no directory of others.
fn dpkg(root: &Path, args: &[&str]) {
    let below = |path: &str| root.join(path).to_str().unwrap().to_owned();
    as_root(&["mkdir", "-p", &below("var/lib/dpkg/info"), &below("var/lib/dpkg/updates"), &below("etc")]);
    as_root(&["touch", &below("var/lib/dpkg/status")]);
    let root = format!("--root={}", root.display());
    // The C library is not a package of this root.
    let forced = "--force-script-chrootless,depends,not-root";
    as_root(&[&["dpkg", &*root, forced], args].concat());
}

#[test]
fn the_package_is_installed_started_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    dpkg(&root, &["--install", package().to_str().unwrap()]);
    let installed: BTreeSet<_> = files(&root.join("usr")).into_keys().collect();
    for file in [
        "bin/otapress",
        "bin/otapress-cgi",
        "share/man/man1/otapress.1.gz",
        "share/man/man1/otapress-cgi.1.gz",
        "share/bash-completion/completions/otapress",
        "share/zsh/vendor-completions/_otapress",
        "share/fish/vendor_completions.d/otapress.fish",
        "lib/systemd/system/otapress.service",
        "lib/systemd/system/otapress.socket",
        "lib/systemd/system/otapress-relay.service",
        "share/doc/otapress/copyright",
        "share/doc/otapress/notices.gz",
        "share/doc/otapress/otapress.cdx.json",
        "share/doc/otapress/otapress-cgi.cdx.json",
        "share/doc/otapress/example/fleet.yaml",
    ] {
        assert!(installed.contains(file), "{file} is not in {installed:#?}");
    }
    assert!(root.join("var/lib/otapress/state").is_dir());

    // The example is published and served as the unit does it, with the paths of this root.
    hand_over(&root.join("etc"));
    hand_over(&root.join("var/lib/otapress"));
    let at = |path: &str| root.join(path).to_str().unwrap().to_owned();
    fs::create_dir_all(root.join("etc/otapress")).unwrap();
    run("cp", &["-r", &(at("usr/share/doc/otapress/example") + "/."), &at("etc/otapress")]);
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/otapress.service")).unwrap();
    assert!(!unit.contains(dir.path().to_str().unwrap()) && !unit.contains("/tmp/"), "{unit}");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<_> = start
        .split(' ')
        .map(|word| word.strip_prefix('/').map_or_else(|| word.to_owned(), at))
        .map(|word| if word.starts_with("127.0.0.1:") { "127.0.0.1:0".into() } else { word })
        .collect();
    let (fleet, out) = (at("etc/otapress/fleet.yaml"), at("var/lib/otapress/out"));
    run(&words[0], &["--fleet", &fleet, "--out", &out, "build", "-q"]);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env_remove("OTAPRESS_STATE");
    let serve = Serve::start(command).unwrap_or_else(|ended| panic!("{ended:?}"));
    assert_eq!(serve.check("999999999999999", "0.10.65").text(), r#"{"upgrade":0}"#);
    assert_eq!(serve.terminate().code, Some(0));

    // The README's first fleet, with the package alone.
    let mut serve = Command::new(&words[0]);
    serve.arg("serve").env_clear();
    follow_the_quickstart(serve, &format!("{}:/usr/bin:/bin", at("usr/bin")));

    dpkg(&root, &["--remove", "otapress"]);
    assert!(!root.join("usr/bin/otapress").exists() && root.join("var/lib/otapress/out").is_dir());
    dpkg(&root, &["--purge", "otapress"]);
    assert!(!root.join("var/lib/otapress").exists());
    let left: Vec<_> =
        if root.join("usr").exists() { files(&root.join("usr")).into_keys().collect() } else { Vec::new() };
    assert!(left.is_empty(), "{left:?}");
    assert!(root.join("etc/otapress/fleet.yaml").exists(), "the operator's");
    hand_over(&root);
}

/// Runs commands in a copy of this system that ends with it: nothing that is written there stays. `$over` is
/// its root.
fn in_a_copy_of_this_system(prepare: &str, commands: &str, enter: &str) -> String {
    const COPY: &str = "
        mount -t tmpfs none $0 && mkdir $0/upper $0/work $0/root && over=$0/root
        mount -t overlay none -o lowerdir=/,upperdir=$0/upper,workdir=$0/work $over
        cp $1 $over/otapress.deb && cp $2 $over/commands
        # The index of all manual pages of this system, at each installation and removal.
        rm -f $over/var/lib/man-db/auto-update";
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("commands");
    fs::write(&file, commands).unwrap();
    let script = [COPY, prepare, enter].join("\n");
    let place = dir.path().join("copy");
    fs::create_dir(&place).unwrap();
    let paths = [&place, package(), &file].map(|path| path.to_str().unwrap());
    let command = [&["unshare", "--mount", "sh", "-euc", &script], &paths[..]].concat();
    as_root(&command)
}

/// systemd seems to run, and notes what it is told, and whether the units were in their place then; then it
/// refuses everything; then there is none.
#[test]
fn systemd_is_told_what_is_installed_and_removed() {
    let printed = in_a_copy_of_this_system(
        r#"
        mount --rbind /dev $over/dev && mount -t proc none $over/proc && mount -t tmpfs none $over/run
        mkdir -p $over/run/systemd/system && : > $over/calls
        cat > $over/usr/local/sbin/systemctl << 'END'
#!/bin/sh
[ -e /usr/lib/systemd/system/otapress.service ] && printf 'installed: ' >> /calls
echo "$*" >> /calls
[ ! -e /fails ]
END
        chmod 755 $over/usr/local/sbin/systemctl
        "#,
        r#"
        did() { dpkg "$@" > /said 2>&1 || { cat /said >&2; exit 1; }; echo "$1:"; sed 's/^/  /' /calls; : > /calls; }
        did --install /otapress.deb
        stat --format='%U %G %a %n' /var/lib/otapress /var/lib/otapress/state
        getent passwd otapress | cut -d: -f1,6,7
        systemd-analyze verify --man=no otapress.service otapress.socket otapress-relay.service
        md5sum --quiet --check /var/lib/dpkg/info/otapress.md5sums
        touch /var/lib/otapress/state/kept
        did --install /otapress.deb
        ls /var/lib/otapress/state
        did --remove otapress
        ls /var/lib/otapress/state
        did --purge otapress
        ls -d /var/lib/otapress /usr/share/doc/otapress 2>&1 || true
        touch /fails
        did --install /otapress.deb
        did --purge otapress
        rm -r /run/systemd/system
        did --install /otapress.deb
        did --purge otapress
        "#,
        "PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C exec chroot $over sh -eu /commands",
    );
    let expected = "\
--install:
  installed: daemon-reload
  installed: try-restart otapress.service otapress-relay.service
root root 755 /var/lib/otapress
otapress otapress 750 /var/lib/otapress/state
otapress:/:/usr/sbin/nologin
--install:
  installed: daemon-reload
  installed: try-restart otapress.service otapress-relay.service
kept
--remove:
  installed: --no-reload disable --now otapress.socket otapress.service otapress-relay.service
  daemon-reload
kept
--purge:
ls: cannot access '/var/lib/otapress': No such file or directory
ls: cannot access '/usr/share/doc/otapress': No such file or directory
--install:
  installed: daemon-reload
  installed: try-restart otapress.service otapress-relay.service
--purge:
  installed: --no-reload disable --now otapress.socket otapress.service otapress-relay.service
  daemon-reload
--install:
--purge:
";
    assert_eq!(printed, expected);
}

/// systemd itself, in a container of its own, one at a time on this machine, starts the units in their
/// sandbox, goes on with a new package, and ends with it.
#[test]
fn systemd_starts_the_units_in_their_sandbox() {
    let printed = in_a_copy_of_this_system(
        r#"
        cat > $over/etc/systemd/system/commands.service << 'END'
[Service]
Type=oneshot
Environment=LC_ALL=C
ExecStart=-/bin/bash -eu /commands
ExecStopPost=/bin/systemctl exit
StandardOutput=file:/output
StandardError=file:/output
END
        printf '[Unit]\nRequires=commands.service\n' > $over/etc/systemd/system/commands.target
        "#,
        r#"
        dpkg() { command dpkg "$@" > /said 2>&1 || { cat /said; exit 1; }; }
        post() {
            exec 3<> /dev/tcp/127.0.0.1/8810
            printf 'POST %s HTTP/1.0\r\nUser-Agent: %s\r\nContent-Length: %s\r\n\r\n%s' "$1" "$2" ${#3} "$3" >&3
            tr -d '\r' <&3 | sed -n -e 1p -e '$p'
            echo
        }
        state() { for unit; do echo "$unit $(systemctl is-enabled $unit 2> /dev/null) $(systemctl is-active $unit)"; done; }
        dpkg --install /otapress.deb
        state otapress.socket otapress.service otapress-relay.service
        mkdir /etc/otapress && cp -r /usr/share/doc/otapress/example/. /etc/otapress/
        otapress -f /etc/otapress/fleet.yaml -o /var/lib/otapress/out build -q
        systemctl enable --quiet --now otapress.socket otapress.service
        state otapress.socket otapress.service
        post /otap/version GW/999999999999999 0.10.65
        stat --format='%U %G %a %n' /var/lib/otapress/state/otapress.db
        pid=$(systemctl show --value --property MainPID otapress.service)
        grep -E '^(Uid|NoNewPrivs|Seccomp|CapBnd|CapEff):' /proc/$pid/status | sed "s/$(id -u otapress)/otapress/g"
        for place in /etc/otapress /var/lib/otapress/out; do
            nsenter --target $pid --mount touch $place/x 2>&1 || true
        done
        dpkg --install /otapress.deb
        state otapress.socket otapress.service
        [ $pid != $(systemctl show --value --property MainPID otapress.service) ] && echo 'the new one runs'
        post /otap/version GW/999999999999999 0.10.65
        mosquitto -v > /heard 2>&1 &
        systemctl start otapress-relay.service
        for _ in {1..300}; do grep -q 'New client connected' /heard && break; sleep 0.1; done
        state otapress-relay.service
        dpkg --remove otapress
        state otapress.socket otapress.service otapress-relay.service
        [ -e /proc/$pid ] || echo 'it has ended'
        dpkg --purge otapress
        "#,
        "mkdir -p /run/lock; flock /run/lock/otapress-nspawn systemd-nspawn --quiet --register=no \
         --keep-unit --private-network --console=pipe --directory=$over --machine=otapress-$$ \
            /usr/lib/systemd/systemd --unit=commands.target < /dev/null > $0/console 2>&1 || cat $0/console \
            >&2
            cat $over/output || { cat $0/console >&2; exit 1; }",
    );
    let expected = "\
otapress.socket disabled inactive
otapress.service disabled inactive
otapress-relay.service disabled inactive
otapress.socket enabled active
otapress.service enabled active
HTTP/1.0 200 OK
{\"upgrade\":0}
otapress otapress 640 /var/lib/otapress/state/otapress.db
Uid:\totapress\totapress\totapress\totapress
CapEff:\t0000000000000000
CapBnd:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
touch: cannot touch '/etc/otapress/x': Read-only file system
touch: cannot touch '/var/lib/otapress/out/x': Read-only file system
otapress.socket enabled active
otapress.service enabled active
the new one runs
HTTP/1.0 200 OK
{\"upgrade\":0}
otapress-relay.service disabled active
otapress.socket  inactive
otapress.service  inactive
otapress-relay.service  inactive
it has ended
";
    assert_eq!(printed, expected);
}

#[test]
fn the_archive_has_its_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // What is in the programs does not matter here, and they are large.
    let program = format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_otapress"));
    for name in ["otapress", "otapress-cgi"] {
        write_program(&bin.join(name), &program);
    }
    let archives = ["one", "two"].map(|name| script("archive", &bin, &dir.path().join(name)));
    let [one, two] = archives.each_ref().map(|archive| fs::read(archive).unwrap());
    assert!(one == two, "packed twice, it is the same");
    run(
        "sh",
        &[
            "-c",
            &format!("cd '{}' && sha256sum --check --quiet SHA256SUMS", dir.path().join("one").display()),
        ],
    );
    let listed = run("tar", &["-tzf", archives[0].to_str().unwrap()]);
    let wanted = "/usr/share/doc/otapress/README.md";
    assert!(listed.lines().any(|line| line.ends_with(wanted)), "{listed}");
}
