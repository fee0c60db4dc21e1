//! Records as they were loaded and as they are now. What is only read is never copied.

use std::sync::Arc;

use super::Few;
use super::draft::Draft;

use crate::record::{ChannelRecord, DeviceRecord, ReleaseRecord, RolloutRecord, UnknownRecord};
use otapress_core::id::Imei;

/// A record as it is now, and what is known of how it was.
#[derive(Clone, Debug)]
pub(super) struct Slot<T> {
    before: Before<T>,
    record: Arc<T>,
}

/// What a record was.
#[derive(Clone, Debug)]
pub(super) enum Before<T> {
    /// Not there.
    Missing,
    /// The record, which was not changed.
    Same,
    /// This. The record may still have the same value.
    Loaded(Arc<T>),
    /// Nobody knows: whoever lent it takes it back whole.
    Lent,
}

impl<T> Before<T> {
    /// The record is to be changed.
    pub(super) fn keep(&mut self, record: &Arc<T>) {
        if matches!(self, Before::Same) {
            *self = Before::Loaded(record.clone());
        }
    }
}

impl<T: Clone + PartialEq> Slot<T> {
    pub(super) fn loaded(record: Arc<T>) -> Self {
        Slot { before: Before::Same, record }
    }

    pub(super) fn lent(record: Arc<T>) -> Self {
        Slot { before: Before::Lent, record }
    }

    pub(super) fn new(record: T) -> Self {
        Slot { before: Before::Missing, record: Arc::new(record) }
    }

    pub(super) fn get(&self) -> &T {
        &self.record
    }

    pub(super) fn get_mut(&mut self) -> &mut T {
        self.before.keep(&self.record);
        Arc::make_mut(&mut self.record)
    }

    pub(super) fn draft(&mut self) -> Draft<'_, T> {
        Draft::of(&mut self.record, &mut self.before)
    }

    /// Changes what was loaded, too.
    pub(super) fn load(&mut self, more: impl Fn(&mut T)) {
        if let Before::Loaded(loaded) = &mut self.before {
            more(Arc::make_mut(loaded));
        }
        more(Arc::make_mut(&mut self.record));
    }

    pub(super) fn before(&self) -> Option<&Arc<T>> {
        match &self.before {
            Before::Same => Some(&self.record),
            Before::Loaded(loaded) => Some(loaded),
            Before::Missing | Before::Lent => None,
        }
    }

    pub(super) fn is_changed(&self) -> bool {
        match &self.before {
            Before::Same => false,
            Before::Loaded(loaded) => **loaded != *self.record,
            Before::Missing | Before::Lent => true,
        }
    }

    pub(super) fn changed(&self) -> Option<&Arc<T>> {
        self.is_changed().then_some(&self.record)
    }
}

/// A record with a name that no other of its kind has.
pub(super) trait Named: Clone + PartialEq {
    type Name: Ord + ?Sized;

    fn name(&self) -> &Self::Name;
}

macro_rules! named {
    ($($record:ident.$field:ident: $name:ty,)*) => {
        $(impl Named for $record {
            type Name = $name;

            fn name(&self) -> &$name {
                &self.$field
            }
        })*
    };
}

named! {
    DeviceRecord.imei: Imei,
    RolloutRecord.id: str,
    ReleaseRecord.version: str,
    ChannelRecord.name: str,
    UnknownRecord.name: str,
}

/// Records by name. A batch has few of a kind, so they are kept in a sorted list.
#[derive(Clone, Debug)]
pub(super) struct Table<T>(Few<Slot<T>>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table(Few::new())
    }
}

impl<T: Named> Table<T> {
    fn find(&self, name: &T::Name) -> Result<usize, usize> {
        self.0.binary_search_by(|slot| slot.get().name().cmp(name))
    }

    /// Takes a record as an engine read it.
    pub(super) fn load(&mut self, record: Arc<T>) {
        match self.find(record.name()) {
            Ok(at) => self.0[at] = Slot::loaded(record),
            Err(at) => self.0.insert(at, Slot::loaded(record)),
        }
    }

    /// Takes a record that its owner lends; there is none of that name.
    pub(super) fn lend(&mut self, record: Arc<T>) {
        if let Err(at) = self.find(record.name()) {
            self.0.insert(at, Slot::lent(record));
        }
    }

    /// What is lent, and what was made or changed besides.
    pub(super) fn give_back(self) -> impl Iterator<Item = Arc<T>> {
        self.0.into_iter().filter(Slot::is_changed).map(|slot| slot.record)
    }

    pub(super) fn put(&mut self, record: T) {
        match self.find(record.name()) {
            Ok(at) => *self.0[at].get_mut() = record,
            Err(at) => self.0.insert(at, Slot::new(record)),
        }
    }

    pub(super) fn get(&self, name: &T::Name) -> Option<&T> {
        self.slot(name).map(Slot::get)
    }

    pub(super) fn slot(&self, name: &T::Name) -> Option<&Slot<T>> {
        self.find(name).ok().map(|at| &self.0[at])
    }

    pub(super) fn slot_mut(&mut self, name: &T::Name) -> Option<&mut Slot<T>> {
        self.find(name).ok().map(|at| &mut self.0[at])
    }

    /// A record for changing; one that is not there is new.
    pub(super) fn get_mut_or_new(&mut self, name: &T::Name, new: impl FnOnce() -> T) -> &mut T {
        let at = self.find(name).unwrap_or_else(|at| {
            self.0.insert(at, Slot::new(new()));
            at
        });
        self.0[at].get_mut()
    }

    /// A record for changing; one that is not there counts as loaded with its first value.
    pub(super) fn draft<'a>(
        &mut self,
        name: &'a T::Name,
        first: impl FnOnce(&'a T::Name) -> T,
    ) -> Draft<'_, T> {
        let at = self.find(name).unwrap_or_else(|at| {
            self.0.insert(at, Slot::loaded(Arc::new(first(name))));
            at
        });
        self.0[at].draft()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot<T>> {
        self.0.iter()
    }

    /// The same without those that this leaves out.
    pub(super) fn filtered(&self, is_kept: impl Fn(&T) -> bool) -> Self {
        Table(self.0.iter().filter(|slot| is_kept(slot.get())).cloned().collect())
    }

    pub(super) fn is_changed(&self) -> bool {
        self.0.iter().any(Slot::is_changed)
    }

    pub(super) fn changed(&self) -> impl Iterator<Item = &Arc<T>> {
        self.0.iter().filter_map(Slot::changed)
    }
}
