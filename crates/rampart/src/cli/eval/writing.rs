//! Answers to prompts, kept one by one, so that a run that ends early goes on where it was.
//!
//! Whatever answers is a [`Writer`]; a remote one is another of these. Prompts are asked in chunks of a fixed size, so that
//! the same seed gives the same answers whether or not a run was interrupted.

use anyhow::{Context, Result, bail};
use eval::{Asking, Task};
use lexicon::{Prompt, Sample, jsonl};
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
};

/// Answers kept while a run goes on.
const KEPT: &str = "samples.partial.jsonl";

/// Prompts to answer, and where they stand in the run.
pub(crate) struct Chunk<'a> {
    /// Number of the first among all prompts.
    pub(crate) first: usize,
    /// The prompts.
    pub(crate) prompts: &'a [Prompt],
    /// Their tasks.
    pub(crate) tasks: &'a [&'a Task],
    /// Answers there are already, as (prompt id, index); a writer that pays for each may leave these out.
    pub(crate) have: &'a BTreeSet<(String, usize)>,
}

/// Writes answers.
pub(crate) trait Writer {
    /// Prompts of a chunk, from the number of samples of each. It must not change between a run and its continuation.
    fn chunk(&self, samples: usize) -> usize;

    /// Answers a chunk. `done` keeps an answer for good; answers that are there already may be given again.
    ///
    /// # Errors
    /// Whatever prevents an answer; those that were done stay.
    fn answer(&mut self, chunk: &Chunk<'_>, done: &mut dyn FnMut(Sample) -> Result<()>) -> Result<()>;
}

/// Asks a writer for `samples` answers to every prompt. `stop` is looked at between chunks.
///
/// # Errors
/// Whatever the writer says, with how many answers are kept; a full disk; an interruption.
pub(crate) fn ask(
    writer: &mut dyn Writer,
    prompts: &[Prompt],
    tasks: &[Task],
    samples: usize,
    folder: &Path,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Sample>> {
    let kept = folder.join(KEPT);
    let mut all = read_kept(&kept)?;
    let mut have: BTreeSet<(String, usize)> = all.iter().map(|s| (s.prompt_id.clone(), s.index)).collect();
    let mut log = open_log(&kept, &all)?;
    let size = writer.chunk(samples).max(1);
    let tasks: Vec<&Task> = tasks.iter().collect();
    for (number, part) in prompts.chunks(size).enumerate() {
        let first = number * size;
        let wanted = part.iter().flat_map(|p| (0..samples).map(|i| (p.id.clone(), i)));
        if wanted.clone().all(|w| have.contains(&w)) {
            continue;
        }
        if stop() {
            bail!("stopped with {} answers kept; run the same command again to go on", all.len());
        }
        let before = have.clone();
        let chunk = Chunk { first, prompts: part, tasks: &tasks[first..first + part.len()], have: &before };
        let outcome = writer.answer(&chunk, &mut |sample| {
            if have.insert((sample.prompt_id.clone(), sample.index)) {
                let mut line = serde_json::to_vec(&sample)?;
                line.push(b'\n');
                log.write_all(&line).with_context(|| format!("cannot write {}", kept.display()))?;
                all.push(sample);
            }
            Ok(())
        });
        log.sync_data().with_context(|| format!("cannot write {}", kept.display()))?;
        outcome.with_context(|| {
            format!("{} answers are kept in {}; run the same command again to go on", all.len(), kept.display())
        })?;
    }
    let place: std::collections::BTreeMap<&str, usize> =
        prompts.iter().enumerate().map(|(i, p)| (p.id.as_str(), i)).collect();
    all.sort_by_key(|s| (place.get(s.prompt_id.as_str()).copied().unwrap_or(usize::MAX), s.index));
    Ok(all)
}

/// Forgets the answers kept while a run went on; they stand in `samples.jsonl` now.
pub(crate) fn finish(folder: &Path) {
    // A leftover does no harm: it holds the same answers.
    let _ = fs::remove_file(folder.join(KEPT));
}

/// Answers kept by an earlier start. A last line that was cut off is forgotten; any other bad line is not ours to drop.
fn read_kept(path: &Path) -> Result<Vec<Sample>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let lines = jsonl::read_lenient::<Sample>(path)?;
    let last = lines.records.last().map_or(0, |(line, _)| *line);
    if let Some(bad) = lines.bad.iter().find(|b| b.line < last) {
        bail!("{bad}: remove the line, or {} to begin anew", path.display());
    }
    Ok(lines.records.into_iter().map(|(_, sample)| sample).collect())
}

/// The log, holding exactly what was read: a cut-off last line would spoil the next.
fn open_log(path: &Path, all: &[Sample]) -> Result<File> {
    jsonl::write(path, all)?;
    OpenOptions::new().append(true).open(path).with_context(|| format!("cannot write {}", path.display()))
}

/// A sample from what a writer wrote.
pub(crate) fn sample(
    asking: &Asking,
    task: &Task,
    index: usize,
    text: String,
    finish: lexicon::FinishReason,
) -> Sample {
    Sample {
        format: lexicon::FORMAT,
        prompt_id: task.id.clone(),
        index,
        code: asking.code(task, &text),
        text,
        finish_reason: finish,
    }
}

#[cfg(feature = "torch")]
pub(crate) mod local {
    //! A model on this machine.

    use super::{Chunk, Writer};
    use crate::cli::terminal;
    use anyhow::Result;
    use eval::Asking;
    use indicatif::ProgressBar;
    use lexicon::Sample;
    use models::{Compute, DeviceKind, Model, Precision, SamplingParams};
    use std::{path::Path, time::Instant};

    /// Rows that step together in a chunk.
    const ROWS: usize = 96;

    /// A model, loaded.
    pub(crate) struct Local {
        model: Model,
        params: SamplingParams,
        asking: Asking,
        bar: ProgressBar,
        started: Instant,
        tokens: usize,
    }

    /// Loads a model and merges adapters into it, each before the next.
    ///
    /// # Errors
    /// What the model's folder or an adapter's lacks.
    pub(crate) fn load(folder: &Path, adapters: &[std::path::PathBuf]) -> Result<Model> {
        let mut model = Model::load(folder, Compute::choose(DeviceKind::Auto, Precision::Auto)?)?;
        for adapter in adapters {
            model.decoder.wear(adapter)?;
        }
        Ok(model)
    }

    impl Local {
        /// Loads a model and merges adapters into it, each before the next.
        ///
        /// # Errors
        /// What the model's folder or an adapter's lacks.
        pub(crate) fn load(
            folder: &Path,
            adapters: &[std::path::PathBuf],
            params: SamplingParams,
            asking: Asking,
            answers: usize,
            name: &str,
        ) -> Result<Self> {
            let model = load(folder, adapters)?;
            let bar = terminal::bar(answers, "samples");
            bar.set_prefix(format!("{name} answers "));
            Ok(Self { model, params, asking, bar, started: Instant::now(), tokens: 0 })
        }
    }

    impl Drop for Local {
        fn drop(&mut self) {
            self.bar.finish_and_clear();
        }
    }

    impl Writer for Local {
        fn chunk(&self, samples: usize) -> usize {
            (ROWS / samples.max(1)).max(1)
        }

        fn answer(&mut self, chunk: &Chunk<'_>, done: &mut dyn FnMut(Sample) -> Result<()>) -> Result<()> {
            let texts: Vec<String> = chunk.prompts.iter().map(|p| p.prompt.clone()).collect();
            // A prompt's luck depends on its place in the run, not in the chunk.
            let seed = self.params.seed ^ (chunk.first as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let params = SamplingParams { seed, ..self.params.clone() };
            let (bar, tokens, started) = (&self.bar, &mut self.tokens, self.started);
            let generations = self.model.generate(&texts, &params, &mut |n| {
                *tokens += n;
                bar.inc(1);
                bar.set_message(format!("{:.0} tokens/s", *tokens as f64 / started.elapsed().as_secs_f64()));
            })?;
            for g in generations {
                let sample = super::sample(&self.asking, chunk.tasks[g.prompt], g.index, g.text, g.finish);
                if !chunk.have.contains(&(sample.prompt_id.clone(), sample.index)) {
                    done(sample)?;
                }
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eval::asking::Form;
    use lexicon::FinishReason;

    /// Dies after so many answers.
    struct Frail {
        left: usize,
        asked: usize,
    }

    impl Writer for Frail {
        fn chunk(&self, _: usize) -> usize {
            2
        }

        fn answer(&mut self, chunk: &Chunk<'_>, done: &mut dyn FnMut(Sample) -> Result<()>) -> Result<()> {
            for task in chunk.tasks {
                for index in 0..2 {
                    if chunk.have.contains(&(task.id.clone(), index)) {
                        continue;
                    }
                    self.asked += 1;
                    let Some(left) = self.left.checked_sub(1) else { bail!("the other side has hung up") };
                    self.left = left;
                    let asking = Asking::plain(Form::Chat);
                    done(sample(&asking, task, index, format!("x = {index}\n"), FinishReason::Stop))?;
                }
            }
            Ok(())
        }
    }

    #[test]
    fn what_was_answered_stays_and_the_rest_is_asked() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let tasks: Vec<Task> = (0..5).map(|i| Task { id: format!("t/{i}"), ..Task::default() }).collect();
        let prompts = eval::prompts(&tasks, &Asking::plain(Form::Chat));
        let mut frail = Frail { left: 5, asked: 0 };
        let failed = ask(&mut frail, &prompts, &tasks, 2, folder.path(), &|| false);
        let said = failed.err().map(|e| format!("{e:#}")).unwrap_or_default();
        assert!(said.starts_with("5 answers are kept in ") && said.ends_with("the other side has hung up"), "{said}");
        // The machine died while it wrote a line.
        let kept = folder.path().join(KEPT);
        let mut log = OpenOptions::new().append(true).open(&kept)?;
        log.write_all(b"{\"prompt-id\":\"t/2\",")?;
        let mut well = Frail { left: 100, asked: 0 };
        let all = ask(&mut well, &prompts, &tasks, 2, folder.path(), &|| false)?;
        assert_eq!((all.len(), well.asked), (10, 5), "five were there");
        let order: Vec<(String, usize)> = all.iter().map(|s| (s.prompt_id.clone(), s.index)).collect();
        let expect: Vec<(String, usize)> = (0..5).flat_map(|t| (0..2).map(move |i| (format!("t/{t}"), i))).collect();
        assert_eq!(order, expect);
        assert_eq!(jsonl::read::<Sample>(&kept)?.len(), 10);
        // A line in the middle that is no sample is not dropped in silence.
        let text = fs::read_to_string(&kept)?;
        fs::write(&kept, format!("nonsense\n{text}"))?;
        let said = ask(&mut well, &prompts, &tasks, 2, folder.path(), &|| false).err().map(|e| e.to_string());
        assert!(said.is_some_and(|s| s.contains("partial.jsonl:1: not JSON")));
        Ok(())
    }

    #[test]
    fn a_wish_to_stop_is_heard_between_chunks() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let tasks = [Task { id: "t".into(), ..Task::default() }];
        let prompts = eval::prompts(&tasks, &Asking::plain(Form::Chat));
        let mut well = Frail { left: 9, asked: 0 };
        let said = ask(&mut well, &prompts, &tasks, 1, folder.path(), &|| true).err().map(|e| e.to_string());
        assert_eq!(said.as_deref(), Some("stopped with 0 answers kept; run the same command again to go on"));
        Ok(())
    }
}
