//! A record that may be changed.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::table::Before;

/// A record for changing. It is copied when it is changed, and only then, if others have it, too: most that
/// are handed out for changing are only read.
#[derive(Debug)]
pub struct Draft<'a, T> {
    record: &'a mut Arc<T>,
    /// Where it is kept as it was, if it is to be.
    before: Option<&'a mut Before<T>>,
}

impl<'a, T> Draft<'a, T> {
    pub(super) fn of(record: &'a mut Arc<T>, before: &'a mut Before<T>) -> Self {
        Draft { record, before: Some(before) }
    }
}

impl<'a, T> From<&'a mut Arc<T>> for Draft<'a, T> {
    fn from(record: &'a mut Arc<T>) -> Self {
        Draft { record, before: None }
    }
}

impl<T> Deref for Draft<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.record
    }
}

impl<T: Clone> DerefMut for Draft<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        if let Some(before) = &mut self.before {
            before.keep(self.record);
        }
        Arc::make_mut(self.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_read_is_not_copied() {
        let kept = Arc::new(vec![1]);
        let mut record = kept.clone();
        assert_eq!(Draft::from(&mut record).len(), 1);
        assert!(Arc::ptr_eq(&kept, &record));
        Draft::from(&mut record).push(2);
        assert_eq!((kept, record), (Arc::new(vec![1]), Arc::new(vec![1, 2])));
    }
}
