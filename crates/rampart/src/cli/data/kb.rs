//! `rampart data kb`.

use super::{OutputFormat, print_json};
use crate::cli::{exit, terminal};
use anyhow::Result;
use clap::{Subcommand, ValueEnum};
use corpus::{
    Lesson,
    knowledge::{Catalogue, Coverage, Module, Rule, coverage, modules, rules},
};
use lexicon::{Cwe, FORMAT, Language};
use serde_json::json;
use std::path::PathBuf;

/// Shows what is known before anything is made: lessons, weaknesses, analyzers' rules and risky modules, and what covers what.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  rampart data kb list modules --language go
  rampart data kb list rules --cwe CWE-89
  rampart data kb list weaknesses --catalogue cwec_v4.17.xml      MITRE's list (unpacked), from cwe.mitre.org
  rampart data kb coverage
  rampart data kb coverage --language java --rules codeql.sarif --output-format json")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Lists entries.
    List(List),
    /// Shows which weakness of which module a lesson shows or a rule finds, and which nobody.
    Coverage(Filter),
}

#[derive(clap::Args, Debug)]
struct List {
    /// What to list; everything where nothing is said.
    #[arg(value_enum)]
    what: Option<What>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    Lessons,
    Weaknesses,
    Rules,
    Modules,
}

#[derive(clap::Args, Debug)]
struct Filter {
    /// Of one language alone.
    #[arg(long)]
    language: Option<Language>,
    /// About one weakness (or its kin) alone.
    #[arg(long)]
    cwe: Option<Cwe>,
    /// MITRE's list of weaknesses, the unpacked XML file; without it those names are known that lessons and mining use.
    #[arg(long, value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// Reports (SARIF) of other analyzers, whose rules count too: CodeQL, Semgrep, Ruff, ESLint ..
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t = OutputFormat::Full)]
    output_format: OutputFormat,
}

/// All that is known, less what the filter leaves out.
struct Known {
    lessons: Vec<Lesson>,
    catalogue: Catalogue,
    rules: Vec<Rule>,
    modules: Vec<Module>,
}

impl Known {
    fn open(filter: &Filter) -> Result<Self> {
        let mut lessons = corpus::library::embedded()?;
        let mut catalogue = match &filter.catalogue {
            Some(file) => Catalogue::read(file)?,
            None => Catalogue::built_in(&lessons),
        };
        let mut rules = rules::built_in();
        for report in &filter.rules {
            rules.extend(rules::of_report(report)?);
        }
        let about = |list: &[Cwe]| filter.cwe.is_none_or(|cwe| list.iter().any(|c| c.kin(cwe)));
        let speaks = |language: Language| filter.language.is_none_or(|l| l == language);
        lessons.retain(|l| speaks(l.language) && about(&l.cwe));
        catalogue.weaknesses.retain(|cwe, _| about(&[*cwe]));
        rules.retain(|r| filter.language.is_none_or(|l| r.languages.contains(&l)) && about(&r.cwe));
        let all: Vec<&Module> = match filter.language {
            Some(language) => modules::of(language).collect(),
            None => modules::all().iter().collect(),
        };
        let modules = all.into_iter().filter(|m| about(&m.cwe)).cloned().collect();
        Ok(Self { lessons, catalogue, rules, modules })
    }
}

pub(crate) fn run(args: &Args) -> Result<u8> {
    match &args.command {
        Command::List(list) => show(list)?,
        Command::Coverage(filter) => {
            let known = Known::open(filter)?;
            let mut table = coverage::coverage(&known.modules, &known.lessons, &known.rules, &known.catalogue);
            // A module is kept for one of its weaknesses; the others were not asked about.
            let about = |cwe: Cwe| filter.cwe.is_none_or(|wanted| cwe.kin(wanted));
            table.cells.retain(|c| about(c.cwe));
            table.gaps.retain(|g| about(g.cwe));
            match filter.output_format {
                OutputFormat::Json => print_json(&table)?,
                OutputFormat::Full => print_coverage(&table, filter.cwe.is_some())?,
            }
        }
    }
    Ok(exit::CLEAN)
}

fn show(list: &List) -> Result<()> {
    let known = Known::open(&list.filter)?;
    let wanted = |what| list.what.is_none_or(|w| w == what);
    if list.filter.output_format == OutputFormat::Json {
        let lesson = |l: &Lesson| json!({ "id": l.id, "title": l.title, "language": l.language, "cwe": l.cwe, "libraries": l.libraries });
        let mut answer = json!({ "format": FORMAT });
        if wanted(What::Lessons) {
            answer["lessons"] = known.lessons.iter().map(lesson).collect();
        }
        if wanted(What::Weaknesses) {
            answer["catalogue"] = serde_json::to_value(&known.catalogue)?;
        }
        if wanted(What::Rules) {
            answer["rules"] = serde_json::to_value(&known.rules)?;
        }
        if wanted(What::Modules) {
            answer["modules"] = serde_json::to_value(&known.modules)?;
        }
        return print_json(&answer);
    }
    terminal::print(|out| {
        let cwes = |list: &[Cwe]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        if wanted(What::Lessons) {
            writeln!(out, "{} lessons", known.lessons.len())?;
            for l in &known.lessons {
                writeln!(out, "  {:<11} {:<36} {:<24} {}", l.language.name(), l.id, cwes(&l.cwe), l.title)?;
            }
        }
        if wanted(What::Weaknesses) {
            let version = match known.catalogue.version.as_str() {
                "" => "built in".to_owned(),
                version => format!("MITRE's list {version}"),
            };
            writeln!(out, "{} weaknesses ({version})", known.catalogue.weaknesses.len())?;
            for (cwe, w) in &known.catalogue.weaknesses {
                writeln!(out, "  {:<9} {}{}", cwe.to_string(), w.name, if w.deprecated { " (given up)" } else { "" })?;
            }
        }
        if wanted(What::Rules) {
            writeln!(out, "{} rules", known.rules.len())?;
            for r in &known.rules {
                writeln!(out, "  {:<9} {:<30} {:<24} {}", r.analyzer, r.id, cwes(&r.cwe), r.title)?;
            }
        }
        if wanted(What::Modules) {
            writeln!(out, "{} modules", known.modules.len())?;
            for m in &known.modules {
                writeln!(out, "  {:<11} {:<34} {:<30} {}", m.language.name(), m.name, cwes(&m.cwe), m.risk)?;
            }
        }
        Ok(())
    })
}

fn print_coverage(table: &Coverage, every: bool) -> Result<()> {
    terminal::print(|out| {
        writeln!(out, "language     modules  weaknesses   cells  lesson with it  lesson  rule  neither")?;
        for (language, t) in &table.totals {
            let share = |n: usize| format!("{:.0}%", 100.0 * n as f64 / t.cells.max(1) as f64);
            writeln!(
                out,
                "{:<11} {:>8} {:>11} {:>7} {:>15} {:>7} {:>5} {:>8}",
                language.name(),
                t.modules,
                t.weaknesses,
                t.cells,
                share(t.shown),
                share(t.taught),
                share(t.found),
                share(t.missing)
            )?;
        }
        let shown = if every { table.gaps.len() } else { 30 };
        writeln!(
            out,
            "\nwithout a lesson or a rule ({} of {}; all by --output-format json)",
            shown.min(table.gaps.len()),
            table.gaps.len()
        )?;
        for g in table.gaps.iter().take(shown) {
            let lacks = match (g.lesson, g.rule) {
                (true, true) => "neither",
                (true, false) => "no lesson",
                _ => "no rule",
            };
            let modules: Vec<&str> = g.modules.iter().take(4).map(String::as_str).collect();
            let more = if g.modules.len() > 4 { format!(" and {} more", g.modules.len() - 4) } else { String::new() };
            writeln!(
                out,
                "  {:<11} {:<9} {lacks:<10} {}{more}  {}",
                g.language.name(),
                g.cwe.to_string(),
                modules.join(", "),
                g.name
            )?;
        }
        Ok(())
    })
}
