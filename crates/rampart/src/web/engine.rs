//! The model on a thread of its own.
//!
//! Requests wait in a bounded queue, in order. Whenever there is room, the samples of the foremost enter and step together
//! with those that run, whatever their settings; so a short answer does not wait for a long one.

use super::Limits;
use crate::cli::defects;
use anyhow::{Context, Result, anyhow};
use lexicon::FinishReason;
use models::{
    Live, Model, SamplingParams,
    live::{Asked, News},
};
use std::{
    collections::{BTreeMap, VecDeque},
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::JoinHandle,
    time::Instant,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What happens to a request's samples; `usize` is a sample's number in its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Text(usize, String),
    End(usize, FinishReason, usize),
    Failed(String),
}

/// Prompts and how to answer each.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) prompts: Vec<Vec<u32>>,
    pub(crate) params: Arc<SamplingParams>,
}

/// Why a job was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many wait as may; worth another attempt after so many seconds.
    Full(u64),
    Stopping,
}

struct Waiting {
    job: Job,
    out: UnboundedSender<Event>,
    since: Instant,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Waiting>,
    closed: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    bell: Condvar,
    running: AtomicUsize,
    /// Milliseconds from a request to its end, averaged over the last few.
    usual: AtomicUsize,
    dead: AtomicBool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The way to the model.
#[derive(Clone)]
pub(crate) struct Engine {
    shared: Arc<Shared>,
    limit: usize,
    parallel: usize,
}

impl Engine {
    /// Hands a job in; its events come out of the receiver, and dropping that cancels it.
    pub(crate) fn submit(&self, job: Job) -> Result<UnboundedReceiver<Event>, Refusal> {
        let mut queue = self.shared.queue();
        if queue.closed || self.dead() {
            return Err(Refusal::Stopping);
        }
        queue.jobs.retain(|w| !w.out.is_closed());
        if queue.jobs.len() >= self.limit {
            let ahead = (queue.jobs.len() + 1).div_ceil(self.parallel);
            let usual = self.shared.usual.load(Ordering::Relaxed);
            let seconds = ahead.saturating_mul(usual).div_ceil(1000).clamp(1, 60);
            return Err(Refusal::Full(seconds as u64));
        }
        let (out, events) = unbounded_channel();
        queue.jobs.push_back(Waiting { job, out, since: Instant::now() });
        drop(queue);
        self.shared.bell.notify_one();
        Ok(events)
    }

    /// Takes no more jobs, and lets go of those that wait.
    pub(crate) fn close(&self) {
        let mut queue = self.shared.queue();
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        self.shared.bell.notify_one();
    }

    /// Samples that run, requests that wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.shared.running.load(Ordering::Relaxed), self.shared.queue().jobs.len())
    }

    /// Whether the model's thread has ended before its time.
    pub(crate) fn dead(&self) -> bool {
        self.shared.dead.load(Ordering::Relaxed)
    }
}

/// Starts the model's thread, and waits until it has made room for its samples; answers also end with `ends`.
pub(crate) fn start(model: Model, limits: &Limits, ends: Vec<u32>) -> Result<(Engine, JoinHandle<()>)> {
    let shared = Arc::new(Shared::default());
    let engine = Engine { shared: Arc::clone(&shared), limit: limits.queue, parallel: limits.parallel };
    let (parallel, context) = (limits.parallel, limits.context);
    let (ready, room) = mpsc::channel();
    let thread = std::thread::Builder::new().name("model".into()).spawn(move || {
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            let live = match panic::catch_unwind(AssertUnwindSafe(|| Live::new(&model, parallel, context, &ends))) {
                Ok(Ok(live)) => live,
                no_room => {
                    // libtorch panics where a card has no room.
                    let said = no_room.map_or_else(
                        |p| defects::said(p.as_ref()),
                        |r| r.err().map(|e| e.to_string()).unwrap_or_default(),
                    );
                    let _ = ready.send(Err(said));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            Samples { live, ready: VecDeque::new(), owners: BTreeMap::new(), jobs: BTreeMap::new(), next: 0 }
                .run(&shared);
        }));
        if let Err(defect) = outcome {
            shared.dead.store(true, Ordering::Relaxed);
            shared.queue().jobs.clear();
            // The last word on it is main's: one message, exit 2.
            panic::resume_unwind(defect);
        }
    });
    let thread = thread.context("cannot start the model's thread")?;
    match room.recv() {
        Ok(Ok(())) => Ok((engine, thread)),
        Ok(Err(said)) => {
            let said = said.split(['\n', '\\']).next().unwrap_or_default().to_owned();
            Err(anyhow!("no room for {parallel} samples of {context} tokens ({said}): lower --parallel or --context"))
        }
        Err(_) => Err(anyhow!("the model's thread ended in a defect")),
    }
}

/// A request of which samples run or are about to.
struct Open {
    out: UnboundedSender<Event>,
    left: usize,
    since: Instant,
}

/// A prompt's samples that have no place yet: name and number of each.
struct Ready {
    job: usize,
    prompt: Vec<u32>,
    params: Arc<SamplingParams>,
    samples: VecDeque<(usize, u64)>,
}

struct Samples<'a> {
    live: Live<'a>,
    ready: VecDeque<Ready>,
    /// Job and number of each running sample, by its name.
    owners: BTreeMap<usize, (usize, usize)>,
    jobs: BTreeMap<usize, Open>,
    next: usize,
}

impl Samples<'_> {
    fn run(&mut self, shared: &Shared) {
        while self.take(shared) {
            self.forget();
            let entered = self.enter();
            self.tell(entered, shared);
            let stepped = self.live.step();
            self.tell(stepped, shared);
            shared.running.store(self.live.running(), Ordering::Relaxed);
        }
    }

    /// Takes jobs while there is room for their samples; waits where there is nothing to do. False at the end.
    fn take(&mut self, shared: &Shared) -> bool {
        let mut queue = shared.queue();
        while queue.jobs.is_empty() && self.jobs.is_empty() {
            if queue.closed {
                return false;
            }
            queue = shared.bell.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let mut room = self.live.free().saturating_sub(self.ready.iter().map(|r| r.samples.len()).sum());
        while room > 0
            && let Some(Waiting { job, out, since }) = queue.jobs.pop_front()
        {
            if out.is_closed() {
                continue;
            }
            let each = job.params.samples;
            room = room.saturating_sub(each * job.prompts.len());
            let number = self.name();
            self.jobs.insert(number, Open { out, left: each * job.prompts.len(), since });
            for (i, prompt) in job.prompts.into_iter().enumerate() {
                let samples = (i * each..(i + 1) * each)
                    .map(|sample| {
                        let name = self.name();
                        self.owners.insert(name, (number, sample));
                        (name, sample as u64)
                    })
                    .collect();
                self.ready.push_back(Ready { job: number, prompt, params: Arc::clone(&job.params), samples });
            }
        }
        true
    }

    fn name(&mut self) -> usize {
        self.next += 1;
        self.next
    }

    /// Lets go of what nobody waits for any more.
    fn forget(&mut self) {
        self.jobs.retain(|_, job| !job.out.is_closed());
        let (jobs, owners) = (&self.jobs, &self.owners);
        self.ready.retain(|r| jobs.contains_key(&r.job));
        self.live.cancel(|name| owners.get(&name).is_none_or(|(job, _)| !jobs.contains_key(job)));
        self.owners.retain(|_, (job, _)| jobs.contains_key(job));
    }

    fn enter(&mut self) -> models::Result<Vec<News>> {
        let mut free = self.live.free();
        let mut asked = Vec::new();
        while free > 0
            && let Some(front) = self.ready.front_mut()
        {
            let samples: Vec<_> = front.samples.drain(..front.samples.len().min(free)).collect();
            free -= samples.len();
            asked.push(Asked { prompt: front.prompt.clone(), params: Arc::clone(&front.params), samples });
            if front.samples.is_empty() {
                self.ready.pop_front();
            }
        }
        self.live.enter(asked)
    }

    fn tell(&mut self, news: models::Result<Vec<News>>, shared: &Shared) {
        let news = match news {
            Ok(news) => news,
            Err(error) => {
                for (_, job) in std::mem::take(&mut self.jobs) {
                    let _ = job.out.send(Event::Failed(error.to_string()));
                }
                self.ready.clear();
                self.owners.clear();
                return;
            }
        };
        for News { name, text, end } in news {
            let Some(&(number, sample)) = self.owners.get(&name) else { continue };
            let Some(job) = self.jobs.get_mut(&number) else { continue };
            if !text.is_empty() {
                let _ = job.out.send(Event::Text(sample, text));
            }
            let Some((finish, tokens)) = end else { continue };
            let _ = job.out.send(Event::End(sample, finish, tokens));
            self.owners.remove(&name);
            job.left -= 1;
            if job.left == 0 {
                let took = usize::try_from(job.since.elapsed().as_millis()).unwrap_or(usize::MAX);
                let usual = shared.usual.load(Ordering::Relaxed);
                shared.usual.store(if usual == 0 { took } else { usual - usual / 8 + took / 8 }, Ordering::Relaxed);
                self.jobs.remove(&number);
            }
        }
    }
}
