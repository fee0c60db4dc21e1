//! The keys of fleet.yaml: one table for every mapping.
//!
//! The reader takes unknown, missing and misspelled keys from these tables, and [`super::schema`] makes the
//! JSON Schema of them, so that what an editor accepts is what `check` accepts.

/// What stands behind a key; how the JSON Schema describes it.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Any text.
    Text,
    /// A text of this form (a regular expression of JSON Schema), which no number has.
    Pattern(&'static str),
    /// A text of this form, if YAML does not read it as a number or a truth value.
    Form(&'static str),
    /// A version, which YAML may read as a number.
    Version,
    /// The digits of an IMEI.
    Imei,
    /// `true` or `false`.
    Bool,
    /// A whole number from the first to the second, both included.
    Number(u32, u32),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A number of any kind that is not negative and at most this.
    Decimal(u32),
    /// A list.
    List(&'static Shape),
    /// A list with something in it.
    Some(&'static Shape),
    /// A day of the week.
    Day,
    /// A mapping with the keys of a table.
    Object(&'static [Key]),
    /// A mapping from names to what the shape says.
    MapOf(&'static Shape),
    /// A version, or a mapping with the keys of [`CHANNEL`].
    Channel,
    /// A percentage, or a list of [`WAVE`]s.
    Rollout,
    /// `unlimited`, or a mapping with the keys of [`UNPROVEN`].
    Unproven,
    /// Settings, or a mapping with the keys of [`SET`].
    Set,
    /// Settings by key.
    Settings,
}

/// One key of a mapping.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What stands behind it.
    pub shape: Shape,
    /// What it means, for editors.
    pub doc: &'static str,
}

const fn optional(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, required: false, shape, doc }
}

const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, required: true, shape, doc }
}

const TEXTS: Shape = Shape::List(&Shape::Text);
const WORDS: Shape = Shape::List(&Shape::Form("."));
const NAME: Shape = Shape::Form("^[A-Za-z0-9._-]{1,64}$");
const NAMES: Shape = Shape::List(&NAME);
pub(super) const PERCENT: Shape = Shape::Pattern("^0*((100|[0-9]{1,2})%|(10000|[0-9]{1,4})bp)$");
const SIZE: Shape = Shape::Pattern("^[1-9][0-9]{0,8}(B|kB|MB)$");
const HTTP: Shape = Shape::Pattern("^http://");
const FORMER_WEB: Shape = Shape::Pattern("^https?://");
const WEB: Shape = Shape::Pattern("^https?://[^@]+$");
/// What the modem's command takes, which quotes nothing.
const MODEM: Shape = Shape::Form(r"^[!#-&(-+\--:<-~]+$");
/// The same without a colon, at which basic auth ends a user's name.
const USER: Shape = Shape::Form(r"^[!#-&(-+\--9<-~]+$");
const ASCII: Shape = Shape::Form("^[ -~]*$");
const AT: Shape =
    Shape::Pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})$");
const JAD_URI: Shape = Shape::Pattern(r"^http://.*\.jad$");

/// The top of the file.
pub const TOP: &[Key] = &[
    required("site", HTTP, "The URL under which out/ is served. http only: the modem knows no https."),
    required("provisioning", Shape::Object(PROVISIONING), "What is set on the devices, spelled as there."),
    required("midlet", Shape::Object(MIDLET), "The MIDlet suite that is published."),
    required("channels", Shape::MapOf(&Shape::Channel), "What devices are to run, by name."),
    optional(
        "withdrawn",
        Shape::MapOf(&Shape::Text),
        "Releases that nobody is to be sent again, each with the reason.",
    ),
    optional("settings", Shape::MapOf(&Shape::Set), "Named sets of settings to push to devices."),
    optional("default", Shape::Object(DEFAULT), "What holds for devices and groups that say nothing else."),
    optional(
        "groups",
        Shape::MapOf(&Shape::Object(GROUP)),
        "Devices that have something in common, by name.",
    ),
    optional("devices", Shape::MapOf(&Shape::Object(DEVICE)), "The devices, by clientID."),
    optional("inventory", TEXTS, "CSV files with more devices; `*` and `?` stand for any characters."),
    optional("ignore", TEXTS, "Columns of the inventories that are the fleet's own."),
    optional("name", Shape::Text, "Heading of reports (default: the host of `site`)."),
    optional(
        "dataPlan",
        Shape::Object(DATA_PLAN),
        "What the devices' traffic costs; `show` and `plan` reckon with it.",
    ),
    optional("limits", Shape::Object(LIMITS), "How long what a device is told may be."),
    optional(
        "keep",
        Shape::List(&Shape::Pattern(r"^\.[A-Za-z0-9._~@+=-]+$")),
        "Hidden files and directories that a host may put into out/, by name.",
    ),
];

/// `provisioning`, and the same in a group.
pub const PROVISIONING: &[Key] = &[
    optional("otapURI", JAD_URI, "The URL of a device's JAD, below `site`; every `@` becomes the clientID."),
    optional("notifyURI", HTTP, "Where the modem posts the OTAP result; every `@` becomes the clientID."),
    optional(
        "versionURI",
        WEB,
        "Where the MIDlet posts its version; `@` is not replaced. May be https, and on another host.",
    ),
    optional(
        "versionInterval",
        Shape::Number(60, i32::MAX as u32),
        "Seconds between version checks (default 10800).",
    ),
    optional("apn", MODEM, "The access point (default `internet`)."),
    optional("otapUser", USER, "User of the basic auth on JAD and JAR."),
    optional("otapPasswordFile", Shape::Text, "A file with its password; never the password itself."),
    optional(
        "formerly",
        Shape::Object(FORMERLY),
        "What devices may still have been told; it is kept alive until it is taken out. Hosts are free.",
    ),
];

/// `formerly` of `provisioning`.
pub const FORMERLY: &[Key] = &[
    optional("otapURI", Shape::List(&JAD_URI), "Former otapURIs: the JADs stay published at their paths."),
    optional("notifyURI", Shape::List(&HTTP), "Former notifyURIs: the responder answers at their paths."),
    optional(
        "versionURI",
        Shape::List(&FORMER_WEB),
        "Former versionURIs: the responder answers at their paths.",
    ),
    optional("otapUser", Shape::List(&USER), "Former users of the basic auth, who are still let in."),
    optional("otapPasswordFile", TEXTS, "Files with former passwords."),
];

/// The keys of [`PROVISIONING`] that must be there at the top of the file.
pub const PROVISIONING_REQUIRED: &[&str] = &["otapURI", "notifyURI", "versionURI"];

/// `midlet`.
pub const MIDLET: &[Key] = &[
    required(
        "name",
        Shape::Form(r"^([A-Za-z0-9_~@+=-]|[^\x00-\x7F])([A-Za-z0-9._~@+=-]|[^\x00-\x7F])*$"),
        "MIDlet-Name of every JAR. Never changes: the firmware starts `a:/app/<name>.jar`.",
    ),
    required("vendor", Shape::Text, "MIDlet-Vendor of every JAR."),
    optional("jars", Shape::Text, "The directory with the JARs, beside this file (default `jars`)."),
    optional(
        "template",
        Shape::Form("^[^/]+$"),
        "The template of the JADs in templates/ (default `OwnTracks.jad`, which is built in).",
    ),
    optional("profiles", WORDS, "Values of MicroEdition-Profile that the modules have (default `[IMP-NG]`)."),
    optional(
        "configurations",
        WORDS,
        "Values of MicroEdition-Configuration that the modules have (default `[CLDC-1.0, CLDC-1.1]`).",
    ),
    optional(
        "classVersion",
        Shape::Number(45, 99),
        "The highest version of a class file that the modules read (default 48: Java 1.4).",
    ),
    optional("maxSize", SIZE, "The largest JAR, such as `300kB` (default 1MB)."),
    optional(
        "api",
        WORDS,
        "Packages, with all below them, and classes that the modules have besides CLDC 1.1 and IMP-NG.",
    ),
    optional("allow", TEXTS, "Codes of errors and warnings about JARs that are accepted."),
    optional(
        "renamed",
        Shape::Bool,
        "Whether name and vendor may differ from what is published (default false).",
    ),
    optional("signing", Shape::Object(SIGNING), "How the suite is signed; signatures lie beside the JARs."),
];

/// `signing` of `midlet`.
pub const SIGNING: &[Key] = &[
    required(
        "certificates",
        Shape::Some(&Shape::Text),
        "PEM files with the certificates: the signer's, then its issuer's and so on, without the root.",
    ),
    optional("required", Shape::Bool, "Whether a JAR without a signature is an error (default false)."),
];

/// A channel, where it is more than a version.
pub const CHANNEL: &[Key] = &[
    required("release", Shape::Version, "The version that devices of the channel are to run."),
    optional(
        "otherwise",
        Shape::Version,
        "The version for devices outside the rollout; without it they keep what they run.",
    ),
    optional("rollout", Shape::Rollout, "How the release spreads; without it: to everyone, at once."),
    optional("salt", Shape::Text, "What mixes the devices into buckets (default `<channel>/<release>`)."),
    optional(
        "unproven",
        Shape::Unproven,
        "How many devices may have been sent the release without having proven it (default \
         `{ least: 3, share: 10% }`).",
    ),
    optional("window", Shape::Object(WINDOW), "When in the week upgrades are offered, in UTC."),
    optional("attempts", Shape::Number(1, 100), "Offers per device and release (default 3)."),
    optional(
        "brake",
        Shape::Object(BRAKE),
        "When the rollout stops by itself (default `{ artifactFaults: 3, failures: 20%, after: 10 }`).",
    ),
    optional(
        "downgrade",
        Shape::OneOf(&["allow", "deny"]),
        "Whether devices may be sent back to a lower version (default allow).",
    ),
    optional(
        "rate",
        Shape::Pattern("^0*[1-9][0-9]{0,8}/h$"),
        "Offers per hour over the channel, such as `500/h`.",
    ),
];

/// A wave of a rollout.
pub const WAVE: &[Key] = &[
    optional("at", AT, "When it opens at the earliest, such as `2026-12-01T08:00:00Z`."),
    optional("after", Shape::Object(AFTER), "What the devices of the waves before it must have shown."),
    required("percent", PERCENT, "How many devices are in from then on: `5%` or `500bp`."),
];

/// `after` of a wave.
pub const AFTER: &[Key] = &[
    required("success", PERCENT, "How many of the devices with a verdict run the release."),
    optional("reached", PERCENT, "How many of the devices have a verdict (default 50%)."),
    optional(
        "soak",
        Shape::Pattern("^[0-9]+[mhd]$"),
        "For how long that has been so, such as `24h` (default 0m).",
    ),
];

/// `unproven` of a channel.
pub const UNPROVEN: &[Key] = &[
    optional("least", Shape::Number(1, 1_000_000), "So many in any case (default 3)."),
    optional(
        "share",
        PERCENT,
        "Or so many of the devices that have proven it, if that is more (default 10%).",
    ),
];

/// `window` of a channel.
pub const WINDOW: &[Key] = &[
    optional("days", Shape::Some(&Shape::Day), "The days on which it opens (default: all)."),
    required(
        "from",
        Shape::Pattern("^([01][0-9]|2[0-3]):[0-5][0-9]$"),
        "When it opens, such as `01:00`, in UTC.",
    ),
    required("minutes", Shape::Number(1, 1440), "How long it stays open."),
];

/// `brake` of a channel.
pub const BRAKE: &[Key] = &[
    optional(
        "artifactFaults",
        Shape::Number(0, 1_000_000),
        "So many devices with a fault of the JAR or JAD stop it (default 3; 0: never).",
    ),
    optional("failures", PERCENT, "More than so many of the finished devices failed (default 20%) …"),
    optional("after", Shape::Number(1, 1_000_000), "… once so many have finished (default 10)."),
];

/// A settings set, where it is more than settings.
pub const SET: &[Key] = &[
    required("values", Shape::Settings, "The settings by key; an empty value deletes one."),
    optional(
        "enforce",
        Shape::OneOf(&["until-confirmed", "always"]),
        "Send until the device has them (default), or at every check.",
    ),
    optional("allow", TEXTS, "Dangerous keys that this set may hold."),
];

/// `otapPassword` of a settings set.
pub const PASSWORD: &[Key] = &[required("file", Shape::Text, "A file with the password.")];

/// `default`.
pub const DEFAULT: &[Key] = &[
    optional("channel", NAME, "The channel."),
    optional("group", NAME, "The group of devices that name none."),
    optional("settings", NAMES, "Settings sets for every device."),
];

/// A group.
pub const GROUP: &[Key] = &[
    optional("channel", NAME, "The channel of its devices."),
    optional("settings", NAMES, "Settings sets for its devices, after those of `default`."),
    optional("provisioning", Shape::Object(PROVISIONING), "What is set differently on its devices."),
    optional("comment", Shape::Text, "For people."),
];

/// A device; the columns of an inventory are these and `clientID`.
pub const DEVICE: &[Key] = &[
    optional("imei", Shape::Imei, "The modem's IMEI; may be left out if the clientID is the IMEI."),
    optional("group", NAME, "Its group."),
    optional("channel", NAME, "Its channel, before the group's."),
    optional("release", Shape::Version, "The version that it is to run, whatever its channel says."),
    optional("hold", Shape::Bool, "Leave it alone: no upgrade and no settings."),
    optional("settings", NAMES, "Settings sets, after those of its group."),
    optional("tid", ASCII, "Its tracker ID, for provisioning."),
    optional("comment", Shape::Text, "For people."),
];

/// `limits`: what the modem is believed to take, in characters.
pub const LIMITS: &[Key] = &[
    optional("url", Shape::Number(1, 1000), "otapURI and notifyURI, expanded (default 100)."),
    optional("user", Shape::Number(1, 1000), "otapUser (default 32)."),
    optional("password", Shape::Number(1, 1000), "otapPassword (default 32)."),
    optional("apn", Shape::Number(1, 1000), "apn (default 100)."),
    optional("answer", SIZE, "What a device is sent at a version check; beyond it, an error (default 2kB)."),
    optional("jad", SIZE, "A JAD without its signature; beyond it, an error (default 4kB)."),
];

/// `dataPlan`: what the devices' traffic costs. Months have 30 days, megabytes 1,000,000 bytes.
pub const DATA_PLAN: &[Key] = &[
    required("perMegabyte", Shape::Decimal(u32::MAX), "The price of a megabyte."),
    required("currency", Shape::Pattern("^[A-Z]{3}$"), "Its currency, such as `EUR`."),
    optional("perDevice", SIZE, "What a device may use in a month, such as `10MB`."),
    optional("drivingHours", Shape::Decimal(24), "Hours a day in which a vehicle drives (default 2)."),
    optional("messageBytes", Shape::Number(1, 100_000), "Bytes of a published location (default 350)."),
];
