//! The kinds of mistakes, each with its stable code and its severity.

#[expect(clippy::disallowed_types, reason = "reports print it")]
use serde::Serialize;

otapress_core::codes! {
    /// The kind of a mistake. The texts are stable: scripts depend on them.
    enum Code {
        // The file as YAML.
        /// The file cannot be read.
        Unreadable = "unreadable" Error,
        /// Not YAML, or YAML beyond the limits.
        Yaml = "yaml" Error,
        /// A key that occurs twice in one mapping.
        DuplicateKey = "duplicate-key" Error,
        /// A key that means nothing here.
        UnknownKey = "unknown-key" Error,
        /// A key that must be there is not.
        MissingKey = "missing-key" Error,
        /// A value of the wrong type, such as a mapping in place of text.
        WrongType = "wrong-type" Error,
        /// A text of the wrong form.
        BadValue = "bad-value" Error,

        // Identifiers and references.
        /// Not a clientID.
        BadClientId = "bad-client-id" Error,
        /// Not an IMEI.
        BadImei = "bad-imei" Error,
        /// The check digit of an IMEI is wrong.
        ImeiCheckDigit = "imei-check-digit" Warning,
        /// IMEIs of 14 digits that a spreadsheet may have shortened.
        ImeiLeadingZero = "imei-leading-zero" Warning,
        /// An IMEI beside the same with its check digit.
        SimilarImei = "similar-imei" Warning,
        /// A clientID that is another device's IMEI.
        ClientIdIsImei = "client-id-is-imei" Error,
        /// Two clientIDs that differ only in upper and lower case.
        SimilarClientId = "similar-client-id" Warning,
        /// A clientID that some file systems do not keep as it is.
        AwkwardClientId = "awkward-client-id" Warning,
        /// A device without an IMEI whose clientID is not one.
        MissingImei = "missing-imei" Error,
        /// Two devices with the same clientID.
        DuplicateDevice = "duplicate-device" Error,
        /// Two devices with the same IMEI.
        DuplicateImei = "duplicate-imei" Error,
        /// Not a version.
        BadVersion = "bad-version" Error,
        /// A release that is not in the catalog.
        UnknownRelease = "unknown-release" Error,
        /// A release that is to be sent to devices although it is withdrawn.
        WithdrawnRelease = "withdrawn-release" Error,
        /// A channel that is not defined.
        UnknownChannel = "unknown-channel" Error,
        /// A group that is not defined.
        UnknownGroup = "unknown-group" Error,
        /// A settings set that is not defined.
        UnknownSettings = "unknown-settings" Error,
        /// Defined and never used.
        Unused = "unused" Warning,

        // URIs and what the modem takes.
        /// Not an http URI of the required form.
        BadUri = "bad-uri" Error,
        /// An otapURI that is not below `site`.
        OutsideSite = "outside-site" Error,
        /// A URI that the responder of this site may never see.
        ForeignHost = "foreign-host" Warning,
        /// A host name that the modem's DNS (8.8.8.8) cannot resolve.
        PrivateHost = "private-host" Warning,
        /// A character that breaks the `AT^SJOTAP` command.
        ModemCharacter = "modem-character" Error,
        /// The file of a password cannot be read.
        PasswordMissing = "password-missing" Warning,
        /// The file of a password holds none that a modem can be told.
        BadPassword = "bad-password" Error,
        /// A pushed value that is not the one that the fleet reckons with.
        PushedValue = "pushed-value" Error,
        /// A secret in clear text where a file is wanted.
        SecretInFleet = "secret-in-fleet" Error,
        /// Longer than what modems are known to take.
        ModemLength = "modem-length" Warning,
        /// Two files of out/ with the same path.
        PathCollision = "path-collision" Error,
        /// Devices share a JAD but not its content.
        SharedJad = "shared-jad" Error,

        // Rollouts.
        /// Waves that do not ascend in time and percent.
        BadWaves = "bad-waves" Error,
        /// A wave that is to open by success, with nobody before it.
        EmptyWave = "empty-wave" Warning,
        /// A window in which some of the devices never ask.
        ShortWindow = "short-window" Warning,

        /// Waves of a new rollout that are all over: everybody is offered the release at once.
    PastWaves = "past-waves" Warning,
    /// A brake that nothing can pull.
        NoBrake = "no-brake" Warning,

        // Harm by numbers.
        /// Checks that are so frequent that they cost, or so rare that a device is out of reach.
        VersionInterval = "version-interval" Warning,
        /// Settings that are sent so often that the flash wears out.
        FlashWear = "flash-wear" Warning,
        /// Settings with which a device may be heard of late or never.
        OutOfReach = "out-of-reach" Warning,
        /// Settings that make much traffic.
        Traffic = "traffic" Warning,
        /// Offers of a release that may take much of a month's data.
        CostlyAttempts = "costly-attempts" Warning,
        /// An answer that is too long for a device.
        AnswerSize = "answer-size" Error,
        /// A JAD that is too long for a device.
        JadSize = "jad-size" Error,
        /// A JAD that may be too long for a device with its signature and certificates.
        JadSizeSigned = "jad-size-signed" Warning,

        // Settings.
        /// A key that the firmware does not know.
        UnknownSetting = "unknown-setting" Warning,
        /// A value that the firmware would misread.
        BadSettingValue = "bad-setting-value" Error,
        /// A key that belongs to the firmware alone.
        InternalSetting = "internal-setting" Error,
        /// A key or value that would corrupt the settings file on the device.
        CorruptingSetting = "corrupting-setting" Error,
        /// A key that can cut the device off, without `allow`.
        DangerousSetting = "dangerous-setting" Error,

        // Inventories.
        /// A pattern of `inventory` that matches no file.
        EmptyInventory = "empty-inventory" Error,
        /// A CSV file that is malformed.
        BadCsv = "bad-csv" Error,

        // Import.
        /// Not what the predecessor's `otc` prints.
        BadDump = "bad-dump" Error,
        /// Something of the predecessor's that is not in the fleet file that was made of it.
        NotCarriedOver = "not-carried-over" Warning,

        // JARs.
        /// No JAR was found.
        EmptyCatalog = "empty-catalog" Error,
        /// Something in jars/ that is not a readable, plain file.
        JarUnreadable = "jar-unreadable" Error,
        /// Not a JAR that a device would install.
        JarInvalid = "jar-invalid" Error,
        /// The manifest is missing, malformed or contradictory.
        ManifestInvalid = "manifest-invalid" Error,
        /// A profile that the modules lack.
        JarProfile = "jar-profile" Error,
        /// A profile that some modules may lack.
        JarProfileDoubtful = "jar-profile-doubtful" Warning,
        /// A configuration that the modules lack.
        JarConfiguration = "jar-configuration" Error,
        /// A permission that nobody knows.
        JarPermission = "jar-permission" Warning,
        /// A MIDlet-Push-<n> that ends the installer.
        JarPush = "jar-push" Error,
        /// A MIDlet-Data-Size that is not a number.
        JarDataSize = "jar-data-size" Error,
        /// A Runtime-Execution-Environment that is not that of MIDlets.
        JarEnvironment = "jar-environment" Error,
        /// A JAR larger than `midlet.maxSize`.
        JarSize = "jar-size" Error,
        /// A JAR that unpacks to far more than `midlet.maxSize`.
        JarUnpackedSize = "jar-unpacked-size" Warning,
        /// A JAR much larger than the release before it.
        JarGrowth = "jar-growth" Warning,
        /// Signature files of desktop Java.
        JarSignatureFiles = "jar-signature-files" Warning,
        /// A JAR with classes for several releases of Java.
        JarMultiRelease = "jar-multi-release" Warning,
        /// A JAR within the JAR.
        JarNested = "jar-nested" Warning,
        /// A MIDlet-Name or MIDlet-Vendor beyond ASCII.
        JarNonAscii = "jar-non-ascii" Warning,
        /// Another MIDlet-Name or MIDlet-Vendor than the release before has.
        SuiteRenamed = "suite-renamed" Error,
        /// Another MIDlet-1 than the release before has.
        MidletChanged = "midlet-changed" Warning,
        /// A release that cannot ask for the next one.
        HttpPermissionDropped = "http-permission-dropped" Error,
        /// A permission that the release before has.
        PermissionDropped = "permission-dropped" Warning,
        /// A JAR without a signature where all are to have one.
        JarUnsigned = "jar-unsigned" Error,
        /// A signature that is not one, or not that of the JAR.
        JarSignature = "jar-signature" Error,
        /// A signature beside a JAR, and no certificates in the fleet.
        SignatureUnused = "signature-unused" Warning,
        /// A release without a signature for devices that were sent one with a signature.
        UnsignedAfterSigned = "unsigned-after-signed" Error,
        /// The MIDlet-Name or MIDlet-Vendor is not the fleet's.
        WrongMidlet = "wrong-midlet" Error,
        /// Two JARs with the same version and other bytes.
        VersionConflict = "version-conflict" Error,
        /// Other bytes than the ones published under this version.
        VersionChanged = "version-changed" Error,

        // Certificates.
        /// A file that holds no certificate that devices can use.
        Certificate = "certificate" Error,
        /// Certificates that are no chain, signer first.
        CertificateChain = "certificate-chain" Error,
        /// A certificate that no authority issued.
        CertificateSelfSigned = "certificate-self-signed" Warning,
        /// A certificate that is not valid today.
        CertificateExpired = "certificate-expired" Error,
        /// A certificate that is valid for less than 60 days.
        CertificateExpires = "certificate-expires" Warning,

        // Templates.
        /// The template cannot be read, parsed or rendered.
        Template = "template" Error,
        /// The template's output is not a JAD that a device would accept.
        JadInvalid = "jad-invalid" Error,
    }
    /// A class that a device could not start.
    and Class(otapress_classfile::Code)
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
