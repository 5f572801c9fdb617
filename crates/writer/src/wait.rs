//! How long to wait before the next attempt.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime},
};

/// The longest wait that an endpoint is granted.
pub(crate) const LONGEST: Duration = Duration::from_secs(600);

/// A `Retry-After` header: seconds, or a date.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds.max(0.0)).ok().map(|d| d.min(LONGEST));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(until.duration_since(now).unwrap_or_default().min(LONGEST))
}

/// Doubling with full jitter: anything between half and all of `base * 2^attempt`, at most a minute. What it draws from is
/// a hash of the question, so a run repeats itself while its questions spread.
pub(crate) fn backoff(base: Duration, attempt: u32, question: &str) -> Duration {
    let most = base.saturating_mul(1 << attempt.min(16)).min(Duration::from_secs(60));
    let hash = crate::ask::hash(format!("{attempt} {question}").as_bytes());
    let share = u32::from_str_radix(&hash[..8], 16).map_or(0.5, |n| f64::from(n) / f64::from(u32::MAX));
    most.mul_f64(0.5 + 0.5 * share)
}

/// Waits until a moment; false where `stop` was set before.
pub(crate) fn until(moment: Instant, stop: &AtomicBool) -> bool {
    while !stop.load(Ordering::Relaxed) {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::park_timeout(left.min(Duration::from_millis(50)));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_both_forms() {
        let now = httpdate::parse_http_date("Sat, 21 Nov 2026 10:00:00 GMT").expect("a date");
        let cases = [
            ("3", Some(3_000)),
            (" 0 ", Some(0)),
            ("1.5", Some(1_500)),
            ("-1", Some(0)),
            ("99999999", Some(600_000)),
            ("Sat, 21 Nov 2026 10:00:07 GMT", Some(7_000)),
            ("Sat, 21 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("NaN", Some(0)),
            ("inf", None),
        ];
        for (value, expect) in cases {
            assert_eq!(retry_after(value, now).map(|d| d.as_millis()), expect, "{value}");
        }
    }

    #[test]
    fn waits_double_spread_and_end() {
        let base = Duration::from_secs(1);
        for attempt in 0..40 {
            let most = Duration::from_secs((1u64 << attempt.min(16)).min(60));
            let waits: Vec<_> = (0..20).map(|q| backoff(base, attempt, &q.to_string())).collect();
            assert!(waits.iter().all(|w| *w >= most / 2 && *w <= most), "{attempt}: {waits:?}");
            assert!(waits.iter().collect::<std::collections::BTreeSet<_>>().len() > 15, "they spread");
        }
        assert!(!until(Instant::now() + Duration::from_secs(9), &AtomicBool::new(true)));
    }
}
