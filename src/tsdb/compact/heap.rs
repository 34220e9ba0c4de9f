//! A binary heap that pops equal items in the order in which Go's `container/heap` pops them. Of two chunks with the same
//! times, or two samples at the same instant, the one that comes first decides which bytes are written.

/// The least item on top. Every call has to be given the same order.
#[derive(Debug)]
pub(super) struct Heap<T> {
    items: Vec<T>,
}

impl<T> Default for Heap<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T> Heap<T> {
    pub(super) fn peek(&self) -> Option<&T> {
        self.items.first()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn push(&mut self, item: T, less: impl Fn(&T, &T) -> bool) {
        self.items.push(item);
        let mut child = self.items.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !less(&self.items[child], &self.items[parent]) {
                break;
            }
            self.items.swap(parent, child);
            child = parent;
        }
    }

    pub(super) fn pop(&mut self, less: impl Fn(&T, &T) -> bool) -> Option<T> {
        let end = self.items.len().checked_sub(1)?;
        self.items.swap(0, end);
        let mut parent = 0;
        loop {
            let left = 2 * parent + 1;
            if left >= end {
                break;
            }
            let right = left + 1;
            let child = if right < end && less(&self.items[right], &self.items[left]) {
                right
            } else {
                left
            };
            if !less(&self.items[child], &self.items[parent]) {
                break;
            }
            self.items.swap(parent, child);
            parent = child;
        }
        self.items.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_least_comes_first(items in prop::collection::vec(0u8..20, 0..40)) {
            let mut heap = Heap::default();
            items.iter().for_each(|item| heap.push(*item, u8::lt));
            let popped: Vec<u8> = std::iter::from_fn(|| heap.pop(u8::lt)).collect();
            let mut sorted = items;
            sorted.sort_unstable();
            prop_assert_eq!(popped, sorted);
        }
    }

    #[test]
    fn equal_items_come_in_the_order_of_go() {
        let mut heap = Heap::default();
        let less = |a: &(u8, char), b: &(u8, char)| a.0 < b.0;
        for item in [(1, 'a'), (1, 'b'), (1, 'c'), (1, 'd')] {
            heap.push(item, less);
        }
        let popped: String = std::iter::from_fn(|| heap.pop(less)).map(|i| i.1).collect();
        assert_eq!(popped, "adcb");
    }
}
