//! The same work on many items, on all processors.

use std::{
    num::NonZero,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

/// Stack of a worker: syntax trees are walked by recursion, as deep as CPython allows.
const STACK: usize = 16 << 20;

/// Number of workers.
pub(crate) fn workers() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Results of `each`, in the order of `items`. `done` hears of every finished item, on the calling thread.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], each: impl Fn(&T) -> R + Sync, mut done: impl FnMut()) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let (finished, news) = mpsc::channel();
    let work = |finished: mpsc::Sender<()>| {
        while let Some((at, item)) = Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, items.get(i)?))) {
            let result = each(item);
            if let Ok(mut results) = results.lock() {
                results[at] = Some(result);
            }
            let _ = finished.send(());
        }
    };
    let started = thread::scope(|scope| {
        let mut started = 0;
        for _ in 0..workers().min(items.len()) {
            let finished = finished.clone();
            let work = &work;
            started += usize::from(
                thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || work(finished)).is_ok(),
            );
        }
        if started > 0 {
            drop(finished);
            for () in news {
                done();
            }
        } else {
            // No thread to be had: this one does all of it.
            work(finished);
            news.iter().for_each(|()| done());
        }
        started
    });
    debug_assert!(started > 0 || items.is_empty() || next.load(Ordering::Relaxed) >= items.len());
    results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_order_and_counts() {
        let items: Vec<usize> = (0..1000).collect();
        let mut seen = 0;
        let squares = super::map(&items, |i| i * i, || seen += 1);
        assert_eq!(squares, items.iter().map(|i| i * i).collect::<Vec<_>>());
        assert_eq!(seen, 1000);
        assert!(super::map(&[] as &[usize], |i| *i, || ()).is_empty());
    }
}
