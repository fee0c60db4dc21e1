//! The releases of the simulated fleet: JARs that a device installs, made of one that is.

use std::io::{Cursor, Write as _};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// A JAR that is in the repository, and its version.
const MODEL: (&str, &[u8]) = ("0.10.66", include_bytes!("../../../../jars/OwnTracks-0.10.66.jar"));

const MANIFEST: &str = "META-INF/MANIFEST.MF";

/// The releases, in ascending order. The first two are firmware that reads answers in its own ways.
pub const VERSIONS: [&str; 7] = ["0.8.37", "0.8.73", "0.10.65", "0.10.66", "0.10.67", "0.10.68", "0.10.69"];

/// Writes the JARs of all releases into a directory.
#[expect(clippy::disallowed_methods, reason = "the temporary directory of a simulation")]
pub fn write_all(dir: &Path) -> std::io::Result<()> {
    for version in VERSIONS {
        std::fs::write(dir.join(format!("OwnTracks-{version}.jar")), of_version(version)?)?;
    }
    Ok(())
}

/// The model with another version.
fn of_version(version: &str) -> std::io::Result<Vec<u8>> {
    let mut model = ZipArchive::new(Cursor::new(MODEL.1))?;
    let mut jar = ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..model.len() {
        let entry = model.by_index_raw(index)?;
        if entry.name()? != MANIFEST {
            jar.raw_copy_file(entry)?;
            continue;
        }
        drop(entry);
        let text = manifest(version);
        jar.start_file(MANIFEST, SimpleFileOptions::default().compression_method(CompressionMethod::Stored))?;
        jar.write_all(text.as_bytes())?;
    }
    Ok(jar.finish()?.into_inner())
}

fn manifest(version: &str) -> String {
    format!(
        "Manifest-Version: 1.0\nMIDlet-Name: OwnTracks\nMIDlet-Version: {version}\nMIDlet-Vendor: Choral\n\
         MIDlet-1: OwnTracks,,demo.owntracks.OwnTracks\n\
         MIDlet-Permissions: javax.microedition.io.Connector.http\n\
         MicroEdition-Profile: IMP-NG\nMicroEdition-Configuration: CLDC-1.1\n\n"
    )
}
