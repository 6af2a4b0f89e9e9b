//! Alerts of a rule that no receiver took: `/v1/alerts/rules/{name}/dead-letters`.
//!
//! They are the dead letters of the rule's queue. Clients with an AWS SDK have them there too; these
//! paths are for the console and for curl.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};

use super::{RULES, no_rule, queue_of, queue_refused};
use crate::api::{ApiError, AppState, Caller};
use crate::records::queue::{Kind, MAX_ENTRIES, QueueRecord, Receive};
use crate::store::QueueInfo;
use crate::wire::alerts::{Alert, DeadLetters, Restored};

/// How long dead letters that are being restored stay hidden from others.
const RESTORING: Duration = Duration::from_secs(30);

/// `GET /v1/alerts/rules/{name}/dead-letters`: how many, and some of them.
pub(super) async fn list(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<DeadLetters>, ApiError> {
    caller.may_do_all()?;
    let Some(queue) = queue(&app, &name)? else { return Ok(Json(DeadLetters::default())) };
    let backlog = app.queues.backlog(&queue.key).map_err(queue_refused)?;
    // A look hides nothing from whoever restores.
    let found = match backlog.dead_letters {
        0 => Vec::new(),
        _ => receive(&app, &queue, Duration::ZERO).await?,
    };
    // Anybody with a key can put other records on the alert stream.
    let alert = |found: &QueueRecord| serde_json::from_slice::<Alert>(&found.record.data).ok();
    Ok(Json(DeadLetters {
        count: backlog.dead_letters,
        waiting: backlog.records,
        alerts: found.iter().filter_map(alert).collect(),
    }))
}

/// `POST /v1/alerts/rules/{name}/dead-letters/restore`: all are delivered anew.
pub(super) async fn restore(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<Restored>, ApiError> {
    caller.may_do_all()?;
    let mut restored = 0;
    let Some(queue) = queue(&app, &name)? else { return Ok(Json(Restored { restored })) };
    // What dies again meanwhile is left for the next time.
    let most = app.queues.backlog(&queue.key).map_err(queue_refused)?.dead_letters;
    while restored < most {
        let found = receive(&app, &queue, RESTORING).await?;
        if found.is_empty() {
            break;
        }
        let handles: Vec<_> = found.into_iter().map(|record| record.receipt_handle).collect();
        let outcomes = app.queues.restore(&queue.key, &handles).await.map_err(queue_refused)?;
        // A receipt that is stale is with somebody else, who restores or drops the alert.
        restored += outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
    }
    Ok(Json(Restored { restored }))
}

/// The queue of a rule; `None` where the rule has no receivers.
fn queue(app: &AppState, name: &str) -> Result<Option<Arc<QueueInfo>>, ApiError> {
    app.store.documents().get(RULES, name).ok_or_else(no_rule)?;
    Ok(queue_of(app, name))
}

async fn receive(
    app: &AppState,
    queue: &QueueInfo,
    visibility: Duration,
) -> Result<Vec<QueueRecord>, ApiError> {
    let request = Receive {
        kind: Kind::Dead,
        limit: MAX_ENTRIES,
        wait: Duration::ZERO,
        visibility: Some(visibility),
    };
    app.queues.receive(&queue.key, request).await.map_err(queue_refused)
}
