//! `dataPlan`: what the devices' traffic costs.

use super::keys;
use super::raw::Node;
use super::reader::Reader;
use crate::traffic::Usage;

/// What the operator of the network charges.
#[derive(Clone, Debug, PartialEq)]
pub struct DataPlan {
    /// The price of 1,000,000 bytes.
    pub per_megabyte: f64,
    /// Its currency.
    pub currency: String,
    /// What a device may use in a month, in bytes.
    pub per_device: Option<u64>,
}

/// Reads the plan, and how the devices are used.
pub(super) fn read(reader: &mut Reader, node: Node<'_>) -> (Option<DataPlan>, Usage) {
    let at = node.span;
    let mut usage = Usage::default();
    let Some(mut fields) = reader.fields(node, keys::DATA_PLAN, "`dataPlan`", at) else {
        return (None, usage);
    };
    let mut decimal = |name, max, wants| reader.decimal(fields.take(name)?, name, max, wants);
    let per_megabyte = decimal("perMegabyte", u32::MAX, "a number, such as `0.20`");
    let hours = decimal("drivingHours", 24, "hours a day, up to 24");
    let currency = fields.take("currency").and_then(|node| {
        let text = reader.text(node, "`currency`")?;
        let is_code = text.text.len() == 3 && text.text.bytes().all(|b| b.is_ascii_uppercase());
        if !is_code {
            reader.bad_value(&text, "`currency`", "the code of a currency, such as `EUR`");
        }
        is_code.then_some(text.text)
    });
    let per_device = fields.take("perDevice").and_then(|node| reader.size(node, "perDevice"));
    usage.driving_hours = hours.unwrap_or(usage.driving_hours);
    if let Some(node) = fields.take("messageBytes") {
        let bytes = reader.number(node, "`messageBytes`", 1, 100_000);
        usage.message_bytes = bytes.unwrap_or(usage.message_bytes);
    }
    let plan = per_megabyte.zip(currency).map(|(per_megabyte, currency)| DataPlan {
        per_megabyte,
        currency: currency.into(),
        per_device,
    });
    (plan, usage)
}
