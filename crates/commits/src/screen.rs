//! One plan over tables, read here or on a cluster.
//!
//! A filter on the message comes first, on its own column: Parquet's reader then decodes patches and texts of those rows alone that hold
//! a phrase. What passes goes through `corpus::mine::row`. Tables are the branches of a union, each with its own columns.

use crate::{Error, Table, columns::Role, functions, one_line};
use ballista_core::extension::{SessionConfigExt as _, SessionStateExt as _};
use corpus::mine::{
    Heuristics,
    row::Outcome,
    tables::{Failed, Found, Sink},
};
use datafusion::{
    arrow::{
        array::{Array as _, AsArray as _, RecordBatch},
        datatypes::{DataType, UInt64Type},
    },
    common::{DataFusionError, ScalarValue},
    dataframe::DataFrame,
    execution::context::SessionContext,
    logical_expr::{Expr, LogicalPlanBuilder, cast, ident, lit},
    physical_plan::{ExecutionPlanProperties as _, execute_stream},
    prelude::{ParquetReadOptions, SessionConfig},
};
use futures::StreamExt as _;
use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    runtime::Runtime,
    sync::{Semaphore, mpsc},
    time,
};

/// Rows of a batch: texts of whole files are long, and several batches are under way.
const BATCH: usize = 512;
/// Parts that the tables read at once are divided into on a cluster, about. Each is a task that the scheduler hands out, which
/// costs more than a few thousand rows.
const PARTS: usize = 16;
/// Longest message between the parts of a cluster, in bytes: a batch of candidates with their texts.
pub(crate) const MESSAGE: usize = 256 << 20;
/// How long a scheduler may take to say that it is there, and executors to appear.
const ANSWER: Duration = Duration::from_secs(10);
const READY: Duration = Duration::from_secs(30);

/// Who reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// This process, on so many processors.
    Here(usize),
    /// A cluster, by its scheduler: `http://host:port`.
    Cluster(String),
}

/// Reads tables through a plan.
pub struct Reader<'a> {
    tables: &'a [Table],
    words: &'a Heuristics,
    place: Place,
    stop: &'a AtomicBool,
    runtime: Runtime,
}

impl<'a> Reader<'a> {
    /// Makes ready to read. A cluster is asked whether it is there and has executors.
    ///
    /// # Errors
    /// [`Error::Scheduler`], or the system's refusal of threads.
    pub fn new(tables: &'a [Table], words: &'a Heuristics, place: Place, stop: &'a AtomicBool) -> Result<Self, Error> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        if let Place::Here(processors) = place {
            builder.worker_threads(processors.max(1));
        }
        let runtime = builder.enable_all().build().map_err(|e| Error::Plan(e.to_string()))?;
        if let Place::Cluster(url) = &place {
            runtime.block_on(ready(url))?;
        }
        Ok(Self { tables, words, place, stop, runtime })
    }

    /// Tells of every row of some tables whose message holds a phrase or that has none, in no order.
    ///
    /// # Errors
    /// [`Failed::Lost`] where a cluster failed, which it may not do again; [`Failed::Broken`] where the tables or the disk did.
    pub fn read(&self, places: Range<usize>, sink: &mut Sink) -> Result<(), Failed> {
        let outcome = corpus::rows::quietly(|| self.runtime.block_on(self.stream(places, sink)));
        outcome.unwrap_or_else(|| Err(Failed::Broken("a table contradicts itself".to_owned())))
    }

    async fn stream(&self, places: Range<usize>, sink: &mut Sink<'_>) -> Result<(), Failed> {
        let remote = matches!(self.place, Place::Cluster(_));
        let failed = |e: DataFusionError| {
            let why = Error::Plan(one_line(&e)).to_string();
            // What a table holds is as wrong on every machine; all else a cluster may do better once more.
            let ours =
                ["Parquet error", "Arrow error", "No such file", "does not exist"].iter().any(|t| why.contains(t));
            if remote && !ours { Failed::Lost(why) } else { Failed::Broken(why) }
        };
        let context = self.context(places.len()).map_err(failed)?;
        let plan = self.plan(&context, places).await.map_err(failed)?;
        let mut batches = self.batches(&context, plan).await.map_err(failed)?;
        while let Some(batch) = batches.recv().await {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Failed::Broken("stopped; run it again to read these tables again".to_owned()));
            }
            tell(&batch.map_err(failed)?, sink).map_err(Failed::Broken)?;
        }
        Ok(())
    }

    fn context(&self, tables: usize) -> Result<SessionContext, DataFusionError> {
        let parquet = |config: SessionConfig| {
            config
                .with_batch_size(BATCH)
                .with_collect_statistics(false)
                .set_bool("datafusion.execution.parquet.pushdown_filters", true)
        };
        let context = match &self.place {
            Place::Here(processors) => SessionContext::new_with_config(
                parquet(SessionConfig::new()).with_target_partitions((*processors).max(1)),
            ),
            Place::Cluster(url) => {
                let config = parquet(SessionConfig::new_with_ballista())
                    .with_target_partitions(PARTS.div_ceil(tables.max(1)))
                    .with_ballista_grpc_client_max_message_size(MESSAGE)
                    .with_ballista_job_name("rampart data mine");
                let state = SessionContext::new_with_config(config).state();
                SessionContext::new_with_state(state.upgrade_for_ballista(url.clone())?)
            }
        };
        functions::all().iter().for_each(|f| context.register_udf(f.as_ref().clone()));
        Ok(context)
    }

    /// The union of all tables: filtered by message, then each row looked at.
    async fn plan(&self, context: &SessionContext, places: Range<usize>) -> Result<DataFrame, DataFusionError> {
        let [speaks, screen] = functions::all();
        let words = || lit(self.words.text());
        let none = || lit(ScalarValue::Utf8(None));
        let mut whole: Option<LogicalPlanBuilder> = None;
        for (place, table) in self.tables.iter().enumerate().skip(places.start).take(places.len()) {
            let column = |role| table.column(role).map_or_else(none, ident);
            let text = |role| cast(column(role), DataType::Utf8);
            let url = url::Url::from_file_path(&table.path)
                .map_err(|()| DataFusionError::Execution(format!("{} is no path", table.path.display())))?;
            let read = ParquetReadOptions::default().file_extension("");
            let rows = context.read_parquet(url.as_str(), read).await?;
            let mut arguments = vec![words()];
            let wanted =
                [Role::Message, Role::Files, Role::Patch, Role::OldPath, Role::NewPath, Role::Before, Role::After];
            arguments.extend(wanted.map(column));
            let chosen: Vec<Expr> = vec![
                lit(place as u64).alias("table"),
                text(Role::Commit).alias("commit"),
                text(Role::Repository).alias("repository"),
                text(Role::Licence).alias("licence"),
                screen.call(arguments).alias("outcome"),
            ];
            let rows = rows.filter(speaks.call(vec![words(), column(Role::Message)]))?.select(chosen)?;
            let next = LogicalPlanBuilder::from(rows.into_unoptimized_plan());
            whole = Some(match whole {
                None => next,
                Some(before) => before.union(next.build()?)?,
            });
        }
        let whole = whole.ok_or_else(|| DataFusionError::Execution("no table".to_owned()))?;
        Ok(DataFrame::new(context.state(), whole.build()?))
    }

    /// The batches of a plan as they come: here from as many parts at once as there are processors, whatever their number.
    async fn batches(
        &self,
        context: &SessionContext,
        plan: DataFrame,
    ) -> Result<mpsc::Receiver<Result<RecordBatch, DataFusionError>>, DataFusionError> {
        let plan = plan.create_physical_plan().await?;
        let (to, from) = mpsc::channel(4);
        let (at_once, parts) = match self.place {
            Place::Here(processors) => (processors.max(1), plan.output_partitioning().partition_count()),
            Place::Cluster(_) => (1, 1),
        };
        let permits = Arc::new(Semaphore::new(at_once));
        let task = context.task_ctx();
        let remote = matches!(self.place, Place::Cluster(_));
        tokio::spawn(async move {
            let mut workers = tokio::task::JoinSet::new();
            for part in 0..parts {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
                let (plan, task, to) = (Arc::clone(&plan), Arc::clone(&task), to.clone());
                workers.spawn(async move {
                    let stream = if remote { execute_stream(plan, task) } else { plan.execute(part, task) };
                    match stream {
                        Err(e) => drop(to.send(Err(e)).await),
                        Ok(mut stream) => {
                            while let Some(batch) = stream.next().await {
                                if to.send(batch).await.is_err() {
                                    break;
                                }
                            }
                        }
                    }
                    drop(permit);
                });
            }
            while let Some(done) = workers.join_next().await {
                if done.is_err() {
                    let why = "Parquet error: the parts of a table contradict each other".to_owned();
                    let _ = to.send(Err(DataFusionError::Execution(why))).await;
                }
            }
        });
        Ok(from)
    }
}

/// Hands a batch's rows on.
fn tell(batch: &RecordBatch, sink: &mut Sink) -> Result<(), String> {
    let [table, commit, repository, licence, outcome] = batch.columns() else {
        return Err(format!("{} columns came where five were asked for", batch.num_columns()));
    };
    let (Some(table), Some(outcome)) = (table.as_primitive_opt::<UInt64Type>(), outcome.as_string_opt::<i32>()) else {
        return Err("the columns that came are of other kinds than those asked for".to_owned());
    };
    let text = |column: &datafusion::arrow::array::ArrayRef, i: usize| {
        column.as_string_opt::<i32>().filter(|c| c.is_valid(i)).map(|c| c.value(i).to_owned()).unwrap_or_default()
    };
    for i in 0..batch.num_rows() {
        let outcome: Outcome = serde_json::from_str(outcome.value(i))
            .map_err(|e| format!("an executor of another version answered: {e}"))?;
        let table = usize::try_from(table.value(i)).unwrap_or(usize::MAX);
        let (commit, repository, licence) = (text(commit, i), text(repository, i), text(licence, i));
        sink(Found { table, commit, repository, licence, outcome })
            .map_err(|e| format!("cannot keep candidates: {e}"))?;
    }
    Ok(())
}

/// Waits until a scheduler is there and has an executor.
async fn ready(url: &str) -> Result<(), Error> {
    let failed = |why: String| Error::Scheduler { url: url.to_owned(), why };
    let parsed = url::Url::parse(url).ok().filter(|u| u.scheme() == "http" && u.path() == "/");
    let address = parsed.as_ref().and_then(|u| Some(format!("{}:{}", u.host_str()?, u.port()?)));
    let address = address.ok_or_else(|| failed("is no address: http://host:port is needed".to_owned()))?;
    let until = time::Instant::now() + READY;
    loop {
        let asked = time::timeout(ANSWER, ask(&address)).await;
        let said = match asked {
            Err(_) => return Err(failed(format!("does not answer within {} s", ANSWER.as_secs()))),
            Ok(Err(e)) => {
                return Err(failed(format!("cannot be reached: {e}; start one with `rampart cluster scheduler`")));
            }
            Ok(Ok(said)) => said,
        };
        let status = said.strip_prefix("HTTP/1.1 ").and_then(|s| s.get(..3)).unwrap_or_default().to_owned();
        match status.as_str() {
            "200" => return Ok(()),
            "503" if time::Instant::now() < until => time::sleep(Duration::from_millis(200)).await,
            "503" => {
                return Err(failed(format!(
                    "has had no executor for {} s; start one with `rampart cluster executor --scheduler {url}`",
                    READY.as_secs()
                )));
            }
            _ => return Err(failed("answers, and is no scheduler of `rampart cluster`".to_owned())),
        }
    }
}

/// What a scheduler says of its readiness.
async fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let question = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut said = Vec::new();
    stream.take(4_096).read_to_end(&mut said).await?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}
