//! Reads the records, and keeps version changes from one reading to the next.

use crate::report::status::Status;
use crate::report::status::records::{Change, Changes, Extent, Records};
use otapress_core::id::Imei;
use otapress_publish::fleet::Fleet;
use otapress_responder::record::Event;
use otapress_responder::store::{Store, StoreError};

/// Events read per page.
const PAGE: u32 = 1000;

/// The store, if there is one.
pub(crate) type Opened = Option<Box<dyn Store>>;

/// Looks at the records.
#[derive(Default)]
pub(crate) struct Look {
    extent: Extent,
    changes: Changes,
}

impl Look {
    /// One that reads only so much.
    pub(crate) fn of(extent: Extent) -> Self {
        Look { extent, ..Look::default() }
    }

    /// The status by the records; without a store, no device was ever heard of.
    pub(crate) fn at(&mut self, fleet: &Fleet, store: &mut Opened, now: i64) -> Result<Status, StoreError> {
        let records = match store {
            Some(store) => Records::read(&mut **store, fleet, self.extent, &mut self.changes, now)?,
            None => Records::default(),
        };
        Ok(Status::new(fleet, records, now))
    }

    /// Every version change that was read.
    pub(crate) fn changes(&self) -> &[Change] {
        self.changes.all()
    }
}

/// The last events of a device, the latest first.
pub(super) fn events_of(store: &mut dyn Store, imei: Imei, limit: u32) -> Result<Vec<Event>, StoreError> {
    let mut events = Vec::new();
    store.read(&mut |tx| {
        events = tx.events_of(imei, limit)?.into_iter().map(|(_, event)| event).collect();
        Ok(())
    })?;
    Ok(events)
}

/// The last events of those that `keeps` keeps, the latest first.
pub(super) fn latest_events(
    store: &mut dyn Store,
    limit: u32,
    keeps: impl Fn(&Event) -> bool,
) -> Result<Vec<Event>, StoreError> {
    let limit = limit as usize;
    let mut events = Vec::new();
    store.read(&mut |tx| {
        events.clear();
        let mut before = i64::MAX;
        while events.len() < limit {
            let page = tx.events_before(before, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            before = *last;
            events.extend(page.into_iter().map(|(_, event)| event).filter(&keeps));
        }
        events.truncate(limit);
        Ok(())
    })?;
    Ok(events)
}
