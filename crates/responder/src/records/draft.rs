//! A record that may be changed.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A record for changing. It is copied when it is changed, and only then, if others have it, too: most that
/// are handed out for changing are only read.
#[derive(Debug)]
pub struct Draft<'a, T>(&'a mut Arc<T>);

impl<'a, T> From<&'a mut Arc<T>> for Draft<'a, T> {
    fn from(record: &'a mut Arc<T>) -> Self {
        Draft(record)
    }
}

impl<T> Deref for Draft<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

impl<T: Clone> DerefMut for Draft<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(self.0)
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
