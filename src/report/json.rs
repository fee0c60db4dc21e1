//! JSON as every report prints it.

use serde::Serialize;
use serde_json::Value;

/// A view as a JSON value, whose keys are sorted whatever the order of the view's fields.
pub(crate) fn value(view: &impl Serialize) -> Value {
    serde_json::to_value(view).expect("strings, numbers and maps with text keys always serialize")
}

/// A view as indented text with a line end.
pub(crate) fn text(view: &impl Serialize) -> String {
    format!("{:#}\n", value(view))
}
