//! Kernels on libtorch's own threads.
//!
//! libtorch computes on the threads of GNU OpenMP, which spin for a while after each product. A second pool would fight
//! them for the cores, so ours hands its chunks to the same threads, by the entry point that compiled `#pragma omp
//! parallel` calls.

use std::{
    ffi::{c_uint, c_void},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

type Region = extern "C" fn(*mut c_void);
type GompParallel = unsafe extern "C" fn(Region, *mut c_void, c_uint, c_uint);

/// `GOMP_parallel` of the OpenMP runtime that libtorch brought into this process, if it is GNU's.
#[expect(unsafe_code, reason = "dlsym; the argument stands at the call")]
fn gomp_parallel() -> Option<GompParallel> {
    static FOUND: OnceLock<Option<GompParallel>> = OnceLock::new();
    *FOUND.get_or_init(|| {
        // SAFETY: dlsym only looks a name up among the libraries already loaded.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"GOMP_parallel".as_ptr()) };
        // SAFETY: the symbol's type is part of GCC's stable ABI (GOMP_4.0).
        (!found.is_null()).then(|| unsafe { std::mem::transmute::<*mut c_void, GompParallel>(found) })
    })
}

struct Shared<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    next: AtomicUsize,
    chunks: usize,
}

impl Shared<'_> {
    fn take(&self) {
        loop {
            let chunk = self.next.fetch_add(1, Ordering::Relaxed);
            if chunk >= self.chunks {
                return;
            }
            (self.work)(chunk);
        }
    }
}

#[expect(unsafe_code, reason = "the pointer is the one handed over below")]
extern "C" fn region(shared: *mut c_void) {
    // SAFETY: `each` passes its own `Shared`, which lives until the region has ended on every thread.
    unsafe { &*shared.cast::<Shared<'_>>() }.take();
}

/// Calls `work` once with every chunk of `0..chunks`, on as many threads as libtorch uses.
#[expect(unsafe_code, reason = "the call into OpenMP; the argument stands there")]
pub(super) fn each(chunks: usize, work: impl Fn(usize) + Sync) {
    let mut shared = Shared { work: &work, next: AtomicUsize::new(0), chunks };
    match gomp_parallel() {
        Some(parallel) if chunks > 1 => {
            // SAFETY: the region ends before the call returns, so `shared` outlives it; a panic in `work` aborts at the
            // boundary of the extern "C" function. Zero threads asks for the number that libtorch has set.
            unsafe { parallel(region, std::ptr::from_mut(&mut shared).cast(), 0, 0) }
        }
        _ => shared.take(),
    }
}

/// Calls `work` once with every item and its number.
#[expect(unsafe_code, reason = "every item is taken once")]
pub(crate) fn each_mut<T: Send>(items: &mut [T], work: impl Fn(usize, &mut T) + Sync) {
    struct Start<T>(*mut T);
    // SAFETY: threads reach disjoint items through it, and items may move between threads.
    unsafe impl<T: Send> Sync for Start<T> {}
    impl<T> Start<T> {
        /// # Safety
        /// `i` is inside the slice, and nothing else holds the item.
        #[expect(clippy::mut_from_ref, reason = "the caller keeps items apart")]
        unsafe fn item(&self, i: usize) -> &mut T {
            // SAFETY: by this function's contract.
            unsafe { &mut *self.0.add(i) }
        }
    }
    let (start, n) = (Start(items.as_mut_ptr()), items.len());
    // SAFETY: `each` hands out every number below `n` once.
    each(n, |i| work(i, unsafe { start.item(i) }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_once_on_libtorchs_threads() {
        // A first product makes sure that libtorch and its OpenMP are loaded.
        let _ = tch::Tensor::ones([4, 4], (tch::Kind::Float, tch::Device::Cpu)).sum(tch::Kind::Float);
        assert!(gomp_parallel().is_some(), "libtorch's OpenMP is GNU's");
        let counts: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        each(1000, |i| {
            counts[i].fetch_add(1, Ordering::Relaxed);
        });
        assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
        each(0, |_| panic!("nothing to do"));
        let mut items = vec![0usize; 1000];
        each_mut(&mut items, |i, item| *item += i);
        assert!(items.iter().enumerate().all(|(i, &item)| i == item));
    }
}
