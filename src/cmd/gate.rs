//! The options of a gate, which `status` judges and `promote` waits for.

use clap::ArgGroup;

use crate::report::status::gate::{Amount, Gate, Percent};

#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("limits").args(["min_success", "max_failures"]).multiple(true)))]
pub(crate) struct GateArgs {
    /// Judge rollouts: all of them, those that filters select, or those of a release that is promoted; exit
    /// code 4 if one misses a condition
    #[arg(long, requires = "limits")]
    gate: bool,
    /// The least share of finished devices that must run the release, such as `95%`
    #[arg(long, value_name = "PERCENT", requires = "gate")]
    min_success: Option<Percent>,
    /// The most devices that may fail: a number, or a share of the finished ones
    #[arg(long, value_name = "N|PERCENT", requires = "gate")]
    max_failures: Option<Amount>,
    /// The least number of finished devices, or a share of those whose wave is open; never more than these
    #[arg(long, value_name = "N|PERCENT", requires = "gate", default_value = "1")]
    min_finished: Amount,
}

impl GateArgs {
    /// The conditions, if rollouts are to be judged.
    pub(crate) fn gate(&self) -> Option<Gate> {
        self.gate.then_some(Gate {
            min_success: self.min_success,
            max_failures: self.max_failures,
            min_finished: self.min_finished,
        })
    }
}
