//! Requests in, pages out.

use super::{
    desk::{Desk, Form, LONGEST},
    guard::Guard,
    page::{self, Shown},
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    routing::get,
};
use maud::Markup;
use std::sync::Arc;

/// Name of the cookie that holds the reviewer's name.
const COOKIE: &str = "rampart-reviewer";
/// Longest name, in characters.
const LONGEST_NAME: usize = 60;

type Shared = (Arc<Desk>, Guard);
type Answer = Response<Body>;

pub(super) fn routes(desk: Arc<Desk>, guard: Guard) -> Router {
    Router::new()
        .route("/", get(start))
        .route("/item/{number}", get(item).post(decide))
        .route("/done", get(done))
        .route("/reviewer", axum::routing::post(name))
        .route("/review.css", get(|| async { file("text/css", include_str!("review.css")) }))
        .route("/review.js", get(|| async { file("text/javascript", include_str!("review.js")) }))
        .fallback(|| async { said(StatusCode::NOT_FOUND, "There is no such page.") })
        .with_state((desk, guard))
}

async fn start(State((desk, guard)): State<Shared>, headers: HeaderMap) -> Answer {
    if !guard.admits(&headers) {
        return refused();
    }
    let Some(reviewer) = reviewer(&desk, &headers) else { return shown(page::welcome(&desk, guard.token(), "")) };
    let open = desk.state().0.next_open(0, &reviewer);
    to(&open.map_or_else(|| "/done".to_owned(), |i| format!("/item/{}", i + 1)))
}

async fn done(State((desk, guard)): State<Shared>, headers: HeaderMap) -> Answer {
    if !guard.admits(&headers) {
        return refused();
    }
    let reviewer = reviewer(&desk, &headers).unwrap_or_default();
    shown(page::done(&desk, &reviewer))
}

async fn item(State((desk, guard)): State<Shared>, Path(number): Path<String>, headers: HeaderMap) -> Answer {
    if !guard.admits(&headers) {
        return refused();
    }
    let Some(reviewer) = reviewer(&desk, &headers) else { return shown(page::welcome(&desk, guard.token(), "")) };
    let Some(item) = row(&desk, &number) else { return said(StatusCode::NOT_FOUND, "There is no such row.") };
    shown(page::item(&desk, item, &Shown { reviewer: &reviewer, token: guard.token(), form: None, error: "" }))
}

async fn decide(State((desk, guard)): State<Shared>, Path(number): Path<String>, request: Request) -> Answer {
    let headers = request.headers().clone();
    if !guard.admits(&headers) {
        return refused();
    }
    let Some(item) = row(&desk, &number) else { return said(StatusCode::NOT_FOUND, "There is no such row.") };
    let form = match fields(request).await {
        Ok(form) => form,
        Err(why) => return said(StatusCode::BAD_REQUEST, why),
    };
    let Some(reviewer) = reviewer(&desk, &headers) else { return shown(page::welcome(&desk, guard.token(), "")) };
    // Where the token is not ours the program was started anew since the page was made, or another site sent this: a person
    // must look.
    let outcome = if guard.knows(&form.token) {
        desk.decide(item, &reviewer, &form)
    } else {
        Err("the program was started again since: press once more to keep your decision".to_owned())
    };
    match outcome {
        Ok(()) => {
            let open = desk.state().0.next_open(item + 1, &reviewer);
            to(&open.map_or_else(|| "/done".to_owned(), |i| format!("/item/{}", i + 1)))
        }
        Err(error) => {
            let view = Shown { reviewer: &reviewer, token: guard.token(), form: Some(&form), error: &error };
            let mut answer = shown(page::item(&desk, item, &view));
            *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
            answer
        }
    }
}

async fn name(State((desk, guard)): State<Shared>, request: Request) -> Answer {
    if !guard.admits(request.headers()) {
        return refused();
    }
    let form = match fields(request).await {
        Ok(form) => form,
        Err(why) => return said(StatusCode::BAD_REQUEST, why),
    };
    let name: String = form.reason.split_whitespace().collect::<Vec<_>>().join(" ");
    let error = if !guard.knows(&form.token) {
        "the program was started again since: press once more"
    } else if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        "a name has one to sixty characters"
    } else {
        ""
    };
    if !error.is_empty() {
        let mut answer = shown(page::welcome(&desk, guard.token(), error));
        *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
        return answer;
    }
    let value: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let mut answer = to("/");
    if let Ok(cookie) = HeaderValue::from_str(&format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict")) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

/// Who reviews: whom the browser names, else whom the command line names.
fn reviewer(desk: &Desk, headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|c| c.to_str().ok());
    let named = cookies.flat_map(|c| c.split(';')).find_map(|c| c.trim().strip_prefix(COOKIE)?.strip_prefix('='));
    let name = named.and_then(|value| {
        let decoded = form_urlencoded::parse(format!("n={value}").as_bytes()).next()?.1.into_owned();
        let sound = !decoded.trim().is_empty() && decoded.chars().count() <= LONGEST_NAME;
        (sound && !decoded.chars().any(char::is_control)).then_some(decoded)
    });
    name.or_else(|| desk.reviewer.clone())
}

fn row(desk: &Desk, number: &str) -> Option<usize> {
    let item = number.parse::<usize>().ok()?.checked_sub(1)?;
    (item < desk.state().0.items.len()).then_some(item)
}

async fn fields(request: Request) -> Result<Form, &'static str> {
    let body = to_bytes(request.into_body(), 4 * LONGEST).await.map_err(|_| "The form is too large, or broke off.")?;
    let mut form = Form::default();
    for (name, value) in form_urlencoded::parse(&body) {
        let field = match name.as_ref() {
            "token" => &mut form.token,
            "content" => &mut form.content,
            "verdict" => &mut form.verdict,
            "reason" | "name" => &mut form.reason,
            "instruction" => &mut form.instruction,
            "insecure" => &mut form.insecure,
            "secure" => &mut form.secure,
            _ => continue,
        };
        *field = value.into_owned();
    }
    Ok(form)
}

fn refused() -> Answer {
    let text = "This page is for this machine alone: open it as http://127.0.0.1 or http://localhost.";
    said(StatusCode::FORBIDDEN, text)
}

fn to(place: &str) -> Answer {
    let mut answer = guarded(Body::empty(), "text/plain");
    *answer.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(place) = HeaderValue::from_str(place) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    answer
}

fn said(status: StatusCode, text: &str) -> Answer {
    let mut answer = shown(page::said(text));
    *answer.status_mut() = status;
    answer
}

fn shown(page: Markup) -> Answer {
    guarded(Body::from(page.into_string()), "text/html; charset=utf-8")
}

fn file(kind: &'static str, text: &'static str) -> Answer {
    guarded(Body::from(text), kind)
}

/// Nothing from elsewhere, no script but ours, in nobody's frame, and never from a cache.
fn guarded(body: Body, kind: &'static str) -> Answer {
    let mut answer = Response::new(body);
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'",
        ),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
