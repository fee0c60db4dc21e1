//! Records by key, some of which are lent.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records by key. One that is lent is missing until it is put back, but its key stays.
#[derive(Clone, Debug)]
pub(super) struct Shelf<K, T>(BTreeMap<K, Option<Arc<T>>>);

impl<K, T> Default for Shelf<K, T> {
    fn default() -> Self {
        Shelf(BTreeMap::new())
    }
}

impl<K: Ord, T> Shelf<K, T> {
    pub(super) fn get<Q>(&self, key: &Q) -> Option<&Arc<T>>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.get(key)?.as_ref()
    }

    /// In the order of the keys.
    pub(super) fn values(&self) -> impl Iterator<Item = &Arc<T>> {
        self.0.values().flatten()
    }

    pub(super) fn lend<Q>(&mut self, key: &Q) -> Option<Arc<T>>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.0.get_mut(key)?.take()
    }

    pub(super) fn lend_all(&mut self) -> Vec<Arc<T>> {
        self.0.values_mut().filter_map(Option::take).collect()
    }

    /// Puts a record back, or in place of the one that is there, and returns that.
    pub(super) fn put<Q>(&mut self, key: &Q, record: Arc<T>) -> Option<Arc<T>>
    where
        K: Borrow<Q>,
        Q: Ord + ToOwned<Owned = K> + ?Sized,
    {
        match self.0.get_mut(key) {
            Some(place) => place.replace(record),
            None => self.0.insert(key.to_owned(), Some(record)).flatten(),
        }
    }

    /// Puts a record in the place of the one that is there, or takes that away; returns it.
    pub(super) fn set(&mut self, key: K, record: Option<Arc<T>>) -> Option<Arc<T>> {
        match record {
            Some(_) => self.0.insert(key, record).flatten(),
            None => self.0.remove(&key).flatten(),
        }
    }
}
