//! What is shown: rows, decisions and figures as pages.

use super::{
    desk::{Desk, Form},
    diff::{self, Line},
};
use corpus::{
    curate::{Judged, Says, Voice},
    review::{Decision, Queue, Settled, Verdict},
};
use lexicon::Finding;
use maud::{DOCTYPE, Markup, html};

/// Who looks, and what they sent.
pub(super) struct Shown<'a> {
    pub(super) reviewer: &'a str,
    pub(super) token: &'a str,
    /// A form that could not be taken, shown again as it was.
    pub(super) form: Option<&'a Form>,
    /// Why not.
    pub(super) error: &'a str,
}

fn frame(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="stylesheet" href="/review.css";
                link rel="icon" href="data:,";
            }
            body {
                (body)
                script src="/review.js" {}
            }
        }
    }
}

/// A page that says one thing.
pub(super) fn said(text: &str) -> Markup {
    frame("Review", &html! { main.narrow { h1 { (text) } p { a href="/" { "Back to the rows" } } } })
}

/// Asks who reviews.
pub(super) fn welcome(desk: &Desk, token: &str, error: &str) -> Markup {
    let count = desk.state().0.items.len();
    let body = html! {
        main.narrow {
            p.kicker { (desk.title) }
            h1 { (count) " rows wait for a person" }
            p { "Every decision is kept with a name, so that two people\u{2019}s can be compared. Who are you?" }
            @if !error.is_empty() { p.error role="alert" { (error) } }
            form.name method="post" action="/reviewer" {
                input type="hidden" name="token" value=(token);
                input type="text" name="name" aria-label="Your name" autofocus required maxlength="60" autocomplete="name";
                button.primary { "Begin" }
            }
        }
    };
    frame("Review", &body)
}

/// Figures at the end, or in between.
pub(super) fn done(desk: &Desk, reviewer: &str) -> Markup {
    let state = desk.state();
    let queue = &state.0;
    let mut counts = [0usize; 4];
    for item in 0..queue.items.len() {
        counts[match queue.settled(item, desk.needed) {
            Settled::Taken(_) => 0,
            Settled::Rejected => 1,
            Settled::Disputed => 2,
            Settled::Open => 3,
        }] += 1;
    }
    let left = queue.items.len() - queue.done(reviewer);
    let body = html! {
        (head(desk, queue, reviewer, None))
        main.narrow {
            h1 { @if left == 0 { "You have seen every row" } @else { (left) " rows are left for you" } }
            table.figures {
                @for (name, n) in ["taken", "rejected", "disputed", "open"].into_iter().zip(counts) {
                    tr { th { (name) } td { (n) } }
                }
            }
            @let agreements = queue.agreements();
            @if !agreements.is_empty() {
                h2 { "Agreement" }
                @for a in &agreements { p { (a.said()) } }
            }
            @let disputed: Vec<usize> =
                (0..queue.items.len()).filter(|&i| queue.settled(i, desk.needed) == Settled::Disputed).collect();
            @if !disputed.is_empty() {
                h2 { "Disputed" }
                p { "Look again together; who changes their mind decides anew." }
                p.links { @for i in disputed { a href={ "/item/" (i + 1) } { "row " (i + 1) } " " } }
            }
            p.muted { "Every decision is on disk already. Ctrl-C ends the program; the same command with " code { "--out FILE" }
                " writes what was taken." }
            p { a href="/item/1" { "Look at the first row again" } }
        }
    };
    frame("Review: figures", &body)
}

/// The bar on top: where one is, and who one is.
fn head(desk: &Desk, queue: &Queue, reviewer: &str, item: Option<usize>) -> Markup {
    let (done, all) = (queue.done(reviewer), queue.items.len());
    html! {
        header.top {
            a.brand href="/" { "Rampart review" }
            span.title { (desk.title) }
            span.space {}
            @if let Some(item) = item {
                nav {
                    @if item > 0 { a href={ "/item/" (item) } rel="prev" title="previous row (k)" { "\u{2190}" } }
                    span { (item + 1) " of " (all) }
                    @if item + 1 < all { a href={ "/item/" (item + 2) } rel="next" title="next row (j)" { "\u{2192}" } }
                }
            }
            span.progress title={ (done) " of " (all) " decided by you" } {
                progress max=(all) value=(done) {}
                a href="/done" { (done) " decided" }
            }
            span.who { (reviewer) }
        }
    }
}

/// A row.
pub(super) fn item(desk: &Desk, item: usize, shown: &Shown) -> Markup {
    let state = desk.state();
    let queue = &state.0;
    let judged = &queue.items[item];
    let own = queue.of(item, shown.reviewer);
    let others: Vec<&Decision> = queue.decisions(item).filter(|d| d.reviewer != shown.reviewer).collect();
    let body = html! {
        (head(desk, queue, shown.reviewer, Some(item)))
        main {
            (about(judged))
            @if !judged.reasons.is_empty() {
                section.why {
                    h2 { "Why you are asked" }
                    ul { @for reason in &judged.reasons { li { (visible(reason)) } } }
                }
            }
            section.code { (code(judged)) }
            div.pair {
                (voices(judged))
                (provenance(judged))
            }
            @if let Some(own) = own { (decision("You", own)) }
            // Nobody is led by what another has said.
            @if own.is_some() { @for other in &others { (decision(&other.reviewer, other)) } }
            (form(judged, queue.content(item), own, shown, item))
        }
    };
    frame(&format!("{} of {}: {}", item + 1, queue.items.len(), judged.pair.id), &body)
}

fn about(judged: &Judged) -> Markup {
    let p = &judged.pair;
    html! {
        section.about {
            p.chips {
                span.chip.language { (p.language.title()) }
                @for cwe in &p.cwe { span.chip.cwe { (cwe) } }
                @if !p.origin.kind.is_empty() { span.chip { (visible(&p.origin.kind)) } }
                span.id { (visible(&p.id)) }
            }
            @if !p.instruction.is_empty() { h1.instruction { (visible(&p.instruction)) } }
            @if !p.reasoning.trim().is_empty() { p.reasoning { (visible(p.reasoning.trim())) } }
        }
    }
}

fn code(judged: &Judged) -> Markup {
    let p = &judged.pair;
    let found = |secure: bool| -> Vec<Finding> {
        let side = |v: &Voice| if secure { v.secure.clone() } else { v.insecure.clone() };
        judged.voices.iter().flat_map(side).collect()
    };
    let (bad, good) = (found(false), found(true));
    let (before, after) = (corpus::validate::dedent(&p.insecure), corpus::validate::dedent(&p.secure));
    if p.insecure.is_empty() {
        let rows = diff::rows("", &after, [&[], &good]);
        return html! {
            table.diff.single {
                colgroup { col.n; col; }
                thead { tr { th colspan="2" { "Code" } } }
                @for (_, line) in &rows { tr { (cells(line.as_ref(), "same")) } (remarks(None, line.as_ref(), true)) }
            }
        };
    }
    let rows = diff::rows(&before, &after, [&bad, &good]);
    html! {
        table.diff {
            colgroup { col.n; col; col.n; col; }
            thead { tr { th.minus colspan="2" { "Insecure" } th.plus colspan="2" { "Secure" } } }
            @for (left, right) in &rows {
                tr { (cells(left.as_ref(), "minus")) (cells(right.as_ref(), "plus")) }
                (remarks(left.as_ref(), right.as_ref(), false))
            }
        }
    }
}

fn cells(line: Option<&Line>, side: &str) -> Markup {
    let Some(line) = line else { return html! { td.n.none {} td.none {} } };
    let class = if line.changed { side } else { "same" };
    html! {
        td class={ "n " (class) } { (line.number) }
        td class={ "l " (class) } {
            @for run in &line.runs {
                @if run.odd { b.odd { (run.text) } }
                @else if run.changed { mark { (run.text) } }
                @else { (run.text) }
            }
        }
    }
}

fn remarks(left: Option<&Line>, right: Option<&Line>, single: bool) -> Markup {
    let of = |line: Option<&Line>| line.map(|l| l.remarks.clone()).unwrap_or_default();
    let (left, right) = (of(left), of(right));
    if left.is_empty() && right.is_empty() {
        return html! {};
    }
    let cell = |remarks: &[String]| html! { td {} td.remark { @for r in remarks { p { (visible(r)) } } } };
    html! { tr.remarks { @if !single { (cell(&left)) } (cell(&right)) } }
}

fn voices(judged: &Judged) -> Markup {
    let two = !judged.pair.insecure.is_empty();
    html! {
        section.card {
            h2 { "Analyzers" }
            @if judged.voices.is_empty() { p.muted { "None has looked at this row." } }
            table.voices {
                @for v in &judged.voices {
                    @let (class, what) = verdict_of(v, two);
                    tr {
                        th { (v.analyzer) " " span.muted { (v.version) } }
                        td { span class={ "dot " (class) } {} (what) }
                        td.muted { @if two { (v.insecure.len()) " / " (v.secure.len()) } @else { (v.secure.len()) } }
                    }
                }
            }
            p.muted.small { @if two { "Right: findings in the insecure and the secure side." } @else { "Right: findings." } }
        }
    }
}

fn verdict_of(voice: &Voice, two: bool) -> (&'static str, &'static str) {
    if !voice.skipped.is_empty() {
        return ("grey", "did not look");
    }
    if !two {
        return if voice.secure.is_empty() { ("good", "finds nothing") } else { ("bad", "finds something") };
    }
    match voice.says {
        Says::Confirms => ("good", "confirms the label"),
        Says::FindsNothing => ("warn", "finds it on neither side"),
        Says::StillThere => ("bad", "finds it on both sides"),
        Says::Reversed => ("bad", "finds it on the secure side"),
        Says::Unknowing => ("grey", "does not know it"),
    }
}

fn provenance(judged: &Judged) -> Markup {
    let o = &judged.pair.origin;
    let verified = o.verified.join(", ");
    let fixed = [("source", &o.source), ("licence", &o.licence), ("verified by", &verified)];
    html! {
        section.card {
            h2 { "Provenance" }
            dl {
                @for (name, value) in fixed {
                    dt { (name) }
                    dd { @if value.is_empty() { span.muted { "not stated" } } @else { (visible(value)) } }
                }
                @for (key, value) in &o.extra { dt { (visible(key)) } dd { (visible(value)) } }
            }
        }
    }
}

fn decision(who: &str, d: &Decision) -> Markup {
    html! {
        p class={ "decided " (d.verdict.name()) } {
            b { (visible(who)) } " "
            (match d.verdict { Verdict::Accept => "accepted it", Verdict::Fix => "fixed it", Verdict::Reject => "rejected it" })
            @if !d.reason.is_empty() { ": " (visible(&d.reason)) }
        }
    }
}

/// The form at the bottom, filled with what was sent before, or decided before, or the row itself.
fn form(judged: &Judged, content: &str, own: Option<&Decision>, shown: &Shown, item: usize) -> Markup {
    let p = &judged.pair;
    let fixed = own.and_then(|d| d.fixed.as_ref());
    let (instruction, insecure, secure) = match (shown.form, fixed) {
        (Some(f), _) if f.verdict == "fix" => (f.instruction.as_str(), f.insecure.as_str(), f.secure.as_str()),
        (_, Some(f)) => (f.instruction.as_str(), f.insecure.as_str(), f.secure.as_str()),
        _ => (p.instruction.as_str(), p.insecure.as_str(), p.secure.as_str()),
    };
    let reason = shown.form.map(|f| f.reason.as_str()).or_else(|| own.map(|d| d.reason.as_str())).unwrap_or_default();
    let editing = shown.form.is_some_and(|f| f.verdict == "fix");
    html! {
        form.decide method="post" action={ "/item/" (item + 1) } data-content=(content) data-decided[own.is_some()] {
            input type="hidden" name="token" value=(shown.token);
            input type="hidden" name="content" value=(content);
            @if !shown.error.is_empty() { p.error role="alert" { (shown.error) } }
            details.fix open[editing] {
                summary { "Write it as it should be" }
                label { "Instruction" textarea name="instruction" rows="2" spellcheck="true" { "\n" (instruction) } }
                div.sides {
                    @if p.insecure.is_empty() { input type="hidden" name="insecure" value=""; }
                    @else { label { "Insecure" textarea.code name="insecure" rows=(height(insecure)) spellcheck="false" { "\n" (insecure) } } }
                    label { "Secure" textarea.code name="secure" rows=(height(secure)) spellcheck="false" { "\n" (secure) } }
                }
            }
            div.bar {
                button.accept name="verdict" value="accept" title="as it is" { kbd { "a" } "Accept" }
                button.fix name="verdict" value="fix" title="as you have written it" { kbd { "f" } "Fix" }
                input.reason type="text" name="reason" value=(reason) placeholder="why (needed to reject)" maxlength="2000"
                    aria-label="Why" autocomplete="off";
                button.reject name="verdict" value="reject" { kbd { "r" } "Reject" }
            }
            p.keys.muted {
                kbd { "j" } " " kbd { "k" } " next and previous \u{00b7} " kbd { "n" } " next undecided \u{00b7} "
                kbd { "Ctrl" } "+" kbd { "Enter" } " sends what you write \u{00b7} " kbd { "Esc" } " leaves a field"
            }
        }
    }
}

fn height(text: &str) -> usize {
    text.lines().count().clamp(3, 30) + 1
}

/// A text in which nothing hides.
fn visible(text: &str) -> String {
    text.chars().map(|c| eval::report::visible_char(c).0).collect()
}
