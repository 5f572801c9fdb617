//! Memory of large tensors: pages that are kept, and moved to where they are needed next.
//!
//! A step takes and frees what the step before took, in other sizes. malloc keeps freed memory by its address: a hole
//! serves what is smaller than itself, so that a third of what a process held was holes (measured), and memory that goes back to
//! the system instead is touched for the first time over and over (2-6 µs a page on virtual machines, measured). Here a
//! request that no freed run of pages is long enough for gets a range of addresses that as many freed pages as it needs are
//! moved into (`mremap`, a table entry a page). So a process holds what its tensors needed when they needed most, and touches
//! no page for the first time after that.
//!
//! Linux only; elsewhere malloc's.

#[cfg(target_os = "linux")]
pub(crate) use pages::install;

/// Nothing to install.
#[cfg(not(target_os = "linux"))]
pub(crate) fn install() {}

#[cfg(target_os = "linux")]
mod pages {
    use std::{
        collections::{BTreeSet, HashMap},
        ffi::{c_int, c_void},
        fs::File,
        io::Read,
        ptr,
        sync::{Mutex, Once, PoisonError},
    };

    /// What runs are multiples of: the largest page of any processor that libtorch is built for. Shorter ones end in more pieces for
    /// the kernel to move.
    const GRAIN: usize = 64 << 10;

    /// Smaller tensors are malloc's.
    const LARGE: usize = 2 * GRAIN;

    /// Shortest run that is cut off a longer one; a shorter rest goes with it.
    const LEAST: usize = 2 * GRAIN;

    /// Mappings of a process in which nothing is moved any more: a run that moved here in pieces stays that many for the kernel,
    /// and Linux allows 65,530 (`vm.max_map_count`).
    const MAPPINGS: usize = 16 << 10;

    /// Moves between two counts of them. A move cuts a mapping at both of its ends at most.
    const OFTEN: usize = 2048;

    #[expect(unsafe_code, reason = "declared as in shim/memory.cpp")]
    unsafe extern "C" {
        fn rampart_memory_install(take: extern "C" fn(usize) -> *mut c_void, give: extern "C" fn(*mut c_void) -> c_int);
    }

    static POOL: Mutex<Option<Pool>> = Mutex::new(None);

    /// Makes libtorch take the memory of large tensors here, once and for all.
    #[expect(unsafe_code, reason = "the call into the shim")]
    pub(crate) fn install() {
        static ONCE: Once = Once::new();
        // SAFETY: both functions keep what an allocator promises, from any thread.
        ONCE.call_once(|| unsafe { rampart_memory_install(take, give) });
    }

    fn with<T>(work: impl FnOnce(&mut Pool) -> T) -> T {
        // Nothing in the pool panics with half of a change done.
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        work(pool.get_or_insert_default())
    }

    /// Memory for so many bytes, aligned to pages; null where malloc should serve.
    extern "C" fn take(bytes: usize) -> *mut c_void {
        let at = if bytes < LARGE { None } else { with(|pool| pool.take(bytes)) };
        at.map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
    }

    /// Takes memory back; 0 where it was not ours.
    extern "C" fn give(p: *mut c_void) -> c_int {
        c_int::from(with(|pool| pool.give(p.addr())))
    }

    /// Runs of pages by their addresses.
    #[derive(Debug)]
    struct Pool {
        /// Bytes and address of what nobody uses.
        free: BTreeSet<(usize, usize)>,
        /// Bytes by address of what tensors use.
        taken: HashMap<usize, usize>,
        /// Moves since mappings were counted.
        moves: usize,
        /// Whether there are too many: then pages go back to the system and come new, as one mapping a run.
        renews: bool,
        /// Mappings that are too many; pages move again from half of them on.
        mappings: usize,
    }

    impl Default for Pool {
        fn default() -> Self {
            Self { free: BTreeSet::new(), taken: HashMap::new(), moves: 0, renews: false, mappings: MAPPINGS }
        }
    }

    impl Pool {
        fn take(&mut self, bytes: usize) -> Option<usize> {
            let bytes = bytes.checked_next_multiple_of(GRAIN)?;
            let fits = self.free.range((bytes, 0)..).next().copied();
            let (at, bytes) = match fits {
                Some(run) => {
                    self.free.remove(&run);
                    let (size, at) = run;
                    if size - bytes >= LEAST {
                        self.free.insert((size - bytes, at + bytes));
                        (at, bytes)
                    } else {
                        (at, size)
                    }
                }
                None => (self.gather(bytes)?, bytes),
            };
            self.taken.insert(at, bytes);
            Some(at)
        }

        fn give(&mut self, at: usize) -> bool {
            let Some(bytes) = self.taken.remove(&at) else { return false };
            self.free.insert((bytes, at));
            true
        }

        /// A range of addresses with all the free pages that fit, the longest runs first, and new ones for the rest.
        fn gather(&mut self, bytes: usize) -> Option<usize> {
            if self.moves >= OFTEN {
                self.moves = 0;
                self.renews = mappings() > if self.renews { self.mappings / 2 } else { self.mappings };
            }
            let start = map(bytes, None).or_else(|| {
                // Where the system has no more, what is free here may be what is missing.
                self.release();
                map(bytes, None)
            })?;
            let mut done = 0;
            while done < bytes {
                let Some((size, at)) = self.free.pop_last() else { break };
                let part = size.min(bytes - done);
                if size > part {
                    self.free.insert((size - part, at + part));
                }
                self.moves += 1;
                if self.renews {
                    unmap(at, part);
                } else if !moved(at, part, start + done) {
                    // The kernel may refuse what was moved here from several places (before 6.17), or one mapping more. Then the
                    // pages go back to it, and new ones stand in the range.
                    unmap(at, part);
                    if map(part, Some(start + done)).is_none() {
                        unmap(start, bytes);
                        return None;
                    }
                }
                done += part;
            }
            Some(start)
        }

        /// Gives back what is free.
        fn release(&mut self) {
            std::mem::take(&mut self.free).into_iter().for_each(|(bytes, at)| unmap(at, bytes));
        }

        /// Bytes held, free ones included.
        #[cfg(test)]
        fn held(&self) -> usize {
            self.free.iter().map(|(bytes, _)| bytes).sum::<usize>() + self.taken.values().sum::<usize>()
        }
    }

    /// Mappings of this process; 0 where the system does not say.
    fn mappings() -> usize {
        let Ok(mut file) = File::open("/proc/self/maps") else { return 0 };
        let (mut lines, mut buffer) = (0, [0; 16 << 10]);
        while let Ok(n @ 1..) = file.read(&mut buffer) {
            lines += buffer[..n].iter().filter(|&&c| c == b'\n').count();
        }
        lines
    }

    /// New zeroed pages, at `at` in the place of whatever is there.
    #[expect(unsafe_code, reason = "mmap; the argument stands at the call")]
    fn map(bytes: usize, at: Option<usize>) -> Option<usize> {
        let (read_write, new) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let flags = if at.is_some() { new | libc::MAP_FIXED } else { new };
        let at = ptr::without_provenance_mut(at.unwrap_or(0));
        // SAFETY: new memory, or in the place of a part of a range that was mapped here and that nobody uses yet.
        let got = unsafe { libc::mmap(at, bytes, read_write, flags, -1, 0) };
        (got != libc::MAP_FAILED).then(|| got.expose_provenance())
    }

    /// Moves pages with what they hold; false where the kernel refused.
    #[expect(unsafe_code, reason = "mremap; the argument stands at the call")]
    fn moved(from: usize, bytes: usize, to: usize) -> bool {
        let address = ptr::without_provenance_mut::<c_void>;
        // SAFETY: both ranges are the pool's and nobody uses them: `from` lies in a free run, `to` in a range that was just mapped.
        let got = unsafe {
            libc::mremap(address(from), bytes, bytes, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, address(to))
        };
        got != libc::MAP_FAILED
    }

    /// Gives pages back to the system.
    #[expect(unsafe_code, reason = "munmap; the argument stands at the call")]
    fn unmap(at: usize, bytes: usize) {
        // SAFETY: pages of the pool that nobody uses. It can only fail for addresses that are no pages.
        unsafe { libc::munmap(ptr::without_provenance_mut(at), bytes) };
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use tch::{Device, Kind, Tensor};

        /// Every page of a run, to write and read a mark in.
        #[expect(unsafe_code, reason = "memory that the pool just gave to this test alone")]
        fn pages(at: usize, bytes: usize) -> impl Iterator<Item = &'static mut u64> {
            // SAFETY: inside a run that is taken.
            (0..bytes).step_by(4096).map(move |i| unsafe { &mut *ptr::with_exposed_provenance_mut::<u64>(at + i) })
        }

        /// Numbers without pattern, the same every time.
        fn random() -> impl FnMut(usize) -> usize {
            let mut state = 7u64;
            move |below| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as usize % below
            }
        }

        /// Runs of many lengths, taken and given in an order without pattern: none touches another's pages, and no more is held
        /// than was needed at once.
        #[test]
        fn pages_move_and_are_never_shared() {
            let mut pool = Pool::default();
            let mut random = random();
            let (mut runs, mut live, mut most): (Vec<(usize, usize, u64)>, usize, usize) = (Vec::new(), 0, 0);
            for mark in 0..3_000u64 {
                // It grows and shrinks by turns.
                let grows = random(100) < if mark / 150 % 2 == 0 { 65 } else { 35 };
                if grows || runs.is_empty() {
                    let bytes = LARGE / 8 + random(if mark % 10 == 0 { 24 * LARGE } else { 2 * LARGE });
                    let at = pool.take(bytes).expect("memory");
                    pages(at, bytes).for_each(|page| *page = mark);
                    runs.push((at, bytes, mark));
                    live += bytes.next_multiple_of(GRAIN);
                    // A run may be longer than asked by what is not worth cutting off.
                    most = most.max(live + runs.len() * LEAST);
                } else {
                    let (at, bytes, mark) = runs.swap_remove(random(runs.len()));
                    assert!(pages(at, bytes).all(|page| *page == mark), "pages of its own");
                    assert!(pool.give(at) && !pool.give(at), "given once");
                    live -= bytes.next_multiple_of(GRAIN);
                }
                let held = pool.held();
                assert!(held <= most, "{held} bytes held where {most} were needed at most");
            }
            assert!(!pool.give(1) && pool.take(usize::MAX).is_none() && pool.take(1 << 60).is_none());
            for (at, bytes, mark) in runs {
                assert!(pages(at, bytes).all(|page| *page == mark), "pages of its own");
                pool.give(at);
            }
            pool.release();
        }

        /// What moved many times is in many pieces for the kernel, of which it allows so many: their number has a bound.
        #[test]
        fn pieces_stay_few() {
            let before = mappings();
            let mut most = [0; 2];
            for (most, bound) in most.iter_mut().zip([before + 500, usize::MAX]) {
                let mut pool = Pool { mappings: bound, ..Pool::default() };
                let (mut random, mut runs): (_, Vec<usize>) = (random(), Vec::new());
                for n in 0..40_000 {
                    if runs.len() < 200 {
                        let at = pool.take(LARGE + random(30 * LARGE)).expect("memory");
                        pages(at, GRAIN).for_each(|page| *page = 1);
                        runs.push(at);
                    } else {
                        // Half of them at once, as at the end of a pass.
                        runs.drain(..100).for_each(|at| assert!(pool.give(at)));
                    }
                    if n % 100 == 0 {
                        *most = mappings().max(*most);
                    }
                }
                runs.into_iter().for_each(|at| assert!(pool.give(at)));
                pool.release();
            }
            let [bounded, free] = most;
            println!("{before} mappings before, {bounded} at most with the bound, {free} without");
            assert!(bounded < before + 500 + 2 * OFTEN && 2 * bounded < free, "{before} {bounded} {free}");
        }

        /// Tensors on both sides of the limit, made on several threads at once.
        #[test]
        fn tensors_live_here() {
            install();
            let sizes = [10, 4000, 300_000, 1_000_000, 5_000_001];
            std::thread::scope(|scope| {
                for thread in 0..4 {
                    scope.spawn(move || {
                        let mut kept = Vec::new();
                        for round in 0..60i64 {
                            let n = sizes[(round as usize * 7 + thread) % sizes.len()];
                            let value = round * 4 + thread as i64;
                            kept.push((Tensor::full([n], value, (Kind::Float, Device::Cpu)), value));
                            if round % 3 == 0 {
                                let (t, value) = kept.swap_remove(kept.len() / 2);
                                assert!(t.eq(value).all().int64_value(&[]) == 1);
                            }
                        }
                        assert!(kept.iter().all(|(t, value)| t.eq(*value).all().int64_value(&[]) == 1));
                    });
                }
            });
            let large = Tensor::zeros([1 << 20], (Kind::Float, Device::Cpu));
            assert!(with(|pool| pool.taken.contains_key(&large.data_ptr().addr())));
        }
    }
}
