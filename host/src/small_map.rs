//! A map of few entries, as a sorted list: the code of a tree or of a hash table is large for each type.

use std::borrow::Borrow;

/// A map of few entries, in the order of the keys.
#[derive(Clone, Debug)]
pub struct SmallMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K: Ord, V> SmallMap<K, V> {
    /// Returns the value of a key. `None` if there is none.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// Sets the value of a key.
    pub fn insert<Q: Ord + ToOwned<Owned = K> + ?Sized>(&mut self, key: &Q, value: V)
    where
        K: Borrow<Q>,
    {
        let found = self.find(key);
        if let Ok(at) = found {
            self.entries.remove(at);
        }
        let (Ok(at) | Err(at)) = found;
        self.entries.insert(at, (key.to_owned(), value));
    }

    /// Returns the value of a key, which is `new` if there was none.
    pub fn get_or_insert<Q: Ord + ToOwned<Owned = K> + ?Sized>(&mut self, key: &Q, new: V) -> &mut V
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).unwrap_or_else(|at| {
            self.entries.insert(at, (key.to_owned(), new));
            at
        });
        let (_, value) = self.entries.get_mut(at).expect("the entry was found or inserted");
        value
    }

    /// Returns the entries, in the order of the keys.
    #[must_use]
    pub fn entries(&self) -> &[(K, V)] {
        &self.entries
    }

    /// Returns the entries, in the order of the keys.
    #[must_use]
    pub fn into_entries(self) -> Vec<(K, V)> {
        self.entries
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.entries.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_in_the_order_of_the_keys_and_each_key_is_there_once() {
        let mut counts = SmallMap::<String, u64>::default();
        for key in ["b", "c", "a", "b"] {
            *counts.get_or_insert(key, 0) += 1;
        }
        assert_eq!(counts.get("b"), Some(&2));
        assert_eq!(counts.get("d"), None);
        assert_eq!(counts.entries(), [("a".to_owned(), 1), ("b".to_owned(), 2), ("c".to_owned(), 1)]);
    }
}
