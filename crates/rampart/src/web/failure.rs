//! Refusals in the form that OpenAI's clients read: `{"error":{"message","type","param","code"}}`.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    status: StatusCode,
    message: String,
    /// The setting it is about.
    param: Option<String>,
    code: Option<&'static str>,
    /// Seconds after which another attempt makes sense.
    retry_after: Option<u64>,
}

impl Failure {
    fn new(status: StatusCode, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code, retry_after: None }
    }

    /// A setting that means nothing here.
    pub(crate) fn setting(param: &str, message: impl Into<String>) -> Self {
        Self { param: Some(param.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, None, message) }
    }

    pub(crate) fn body(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, None, message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Some("request_too_large"), message)
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, Some("request_timeout"), "the request did not arrive in time")
    }

    pub(crate) fn not_json() -> Self {
        let message = "requests are JSON: send content-type: application/json";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Some("unsupported_media_type"), message)
    }

    pub(crate) fn key() -> Self {
        let message = "the API key is missing or wrong: send authorization: Bearer KEY";
        Self::new(StatusCode::UNAUTHORIZED, Some("invalid_api_key"), message)
    }

    pub(crate) fn host() -> Self {
        let message = "this server answers programs of its own machine: ask it as localhost or 127.0.0.1";
        Self::new(StatusCode::FORBIDDEN, Some("host_not_allowed"), message)
    }

    pub(crate) fn path(path: &str) -> Self {
        let message =
            format!("no such endpoint: {path}; there are /v1/models, /v1/completions and /v1/chat/completions");
        Self::new(StatusCode::NOT_FOUND, Some("unknown_url"), message)
    }

    pub(crate) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Some("method_not_allowed"), "this endpoint has another method")
    }

    pub(crate) fn model(asked: &str, served: &str) -> Self {
        let message = format!("the model {asked:?} is not served here; {served:?} is");
        Self { param: Some("model".into()), ..Self::new(StatusCode::NOT_FOUND, Some("model_not_found"), message) }
    }

    pub(crate) fn queue(retry_after: u64) -> Self {
        let message = format!("too many requests wait already; come back in {retry_after} s");
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, Some("queue_full"), message) }
    }

    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Some("shutting_down"), "the server is shutting down")
    }

    pub(crate) fn late(seconds: u64) -> Self {
        let message =
            format!("no whole answer within {seconds} s: ask for fewer tokens, or raise the server's --timeout");
        Self::new(StatusCode::GATEWAY_TIMEOUT, Some("timeout"), message)
    }

    pub(crate) fn model_failed(why: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Some("model_failed"), why)
    }

    #[cfg(test)]
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The body of the refusal, also sent within a stream that has begun.
    pub(crate) fn json(&self) -> Value {
        let kind = match self.status.as_u16() {
            401 => "authentication_error",
            429 => "rate_limit_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        };
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": self.code } })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.json().to_string()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
