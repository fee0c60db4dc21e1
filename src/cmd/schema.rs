//! `otapress schema`: the JSON Schema of the fleet file, for editors.

use crate::context::{Exit, print};
use otapress_publish::fleet::schema;

pub(crate) fn run() -> anyhow::Result<Exit> {
    print(schema::text())
}
