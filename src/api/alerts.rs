//! Rules of alerts, and the alerts there were: `/v1/alerts`.
//!
//! A rule is a document of the catalog, and what it remembers another; where it has receivers, a queue
//! over the alert stream goes with it, from which the alerter delivers. What the rules mean is the
//! alerter's business.

mod dead_letters;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::records::arn;
use super::{ApiError, App, AppState, AwsJson, Caller, ErrorKind, Routes, blocking};
use crate::records::queue::{NewQueue, QueueAttributes, QueueError};
use crate::records::{MIN_MAX_RECORD_KIB, NewRecordStream, RecordsError};
use crate::store::{Change, Distribution, DocumentError, QueueInfo, QueueStart};
use crate::types::StreamName;
use crate::wire::alerts::rule::check_name;
use crate::wire::alerts::{
    ALERT_STREAM, Alert, AlertList, AlerterState, InvalidRule, NamedRule, QUEUE_PREFIX, Rule,
    RuleList, RuleState, Target,
};

/// The documents that are rules and what they remember, by name, and the alerter's state.
const RULES: &str = "alert-rule";
const RULE_STATES: &str = "alert-rule-state";
const STATE: (&str, &str) = ("alerter", "state");
/// The most rules there may be.
const MAX_RULES: usize = 100;
/// How long alerts are kept: a week.
const ALERT_HOURS: u32 = 7 * 24;
/// How long an alert that is being delivered stays with its deliverer, who asks for more meanwhile.
const VISIBILITY_SECONDS: u32 = 20;
/// Alerts of an answer whose request names no number, and the most.
const DEFAULT_LISTED: usize = 50;
const MOST_LISTED: usize = 1000;

/// The routes of this area.
pub(super) fn routes() -> Routes {
    let rule = get(rule).put(put_rule).delete(delete_rule);
    Routes {
        native: Router::new()
            .route("/v1/alerts", get(alerts))
            .route("/v1/alerts/rules", get(rules))
            .route("/v1/alerts/rules/{name}", rule)
            .route("/v1/alerts/rules/{name}/state", get(rule_state).put(put_rule_state))
            .route("/v1/alerts/rules/{name}/dead-letters", get(dead_letters::list))
            .route("/v1/alerts/rules/{name}/dead-letters/restore", post(dead_letters::restore))
            .route("/v1/alerts/state", get(state).put(put_state)),
        ..Routes::default()
    }
}

/// How many alerts.
#[derive(Deserialize)]
struct Asked {
    limit: Option<usize>,
}

/// `GET /v1/alerts?limit=`: newest first.
async fn alerts(
    State(app): State<AppState>,
    Query(asked): Query<Asked>,
    caller: Caller,
) -> Result<Json<AlertList>, ApiError> {
    caller.may_do_all()?;
    let limit = asked.limit.unwrap_or(DEFAULT_LISTED);
    if !(1..=MOST_LISTED).contains(&limit) {
        return Err(ApiError::invalid(format!("limit must be from 1 to {MOST_LISTED}.")));
    }
    let records = match app.records.newest(&alert_stream(), limit).await {
        Ok(records) => records,
        // There was no rule yet.
        Err(RecordsError::NoSuchStream(_)) => Vec::new(),
        Err(error) => return Err(ApiError::internal(error)),
    };
    // Anybody with a key can put other records there.
    let alert = |data: &[u8]| serde_json::from_slice::<Alert>(data).ok();
    let alerts = records.iter().filter_map(|record| alert(&record.data)).collect();
    Ok(Json(AlertList { alerts }))
}

/// `GET /v1/alerts/rules`: by name.
async fn rules(State(app): State<AppState>, caller: Caller) -> Result<Json<RuleList>, ApiError> {
    caller.may_do_all()?;
    let documents = app.store.documents().list(RULES);
    let rules = documents.iter().map(|(_, text)| stored(text)).collect::<Result<_, _>>()?;
    Ok(Json(RuleList { rules }))
}

/// `GET /v1/alerts/rules/{name}`
async fn rule(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<NamedRule>, ApiError> {
    caller.may_do_all()?;
    let document = app.store.documents().get(RULES, &name).ok_or_else(no_rule)?;
    stored(&document).map(Json)
}

/// `PUT /v1/alerts/rules/{name}`: makes a rule or sets one anew.
async fn put_rule(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
    AwsJson(rule): AwsJson<Rule>,
) -> Result<Json<NamedRule>, ApiError> {
    caller.may_do_all()?;
    check_name(&name)?;
    rule.check()?;
    let mails = rule.targets.iter().any(|target| matches!(target, Target::Email { .. }));
    if mails && !app.config.alerts.smtp.is_set() {
        return Err(ApiError::invalid(
            "targets: mails need alerts.smtp.host and alerts.smtp.from in the server's settings.",
        ));
    }
    blocking(move || store_rule(&app, name, rule)).await.map(Json)
}

/// `DELETE /v1/alerts/rules/{name}`: what is still to be delivered is not.
async fn delete_rule(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<Value>, ApiError> {
    caller.may_do_all()?;
    blocking(move || {
        let there_was = app.store.documents().delete(RULES, &name).map_err(refused)?;
        app.store.documents().delete(RULE_STATES, &name).map_err(refused)?;
        if let Some(queue) = queue_of(&app, &name) {
            app.queues.delete(&queue.key).map_err(queue_refused)?;
        }
        if there_was { Ok(Json(json!({}))) } else { Err(no_rule()) }
    })
    .await
}

/// `GET /v1/alerts/rules/{name}/state`
async fn rule_state(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
) -> Result<Json<RuleState>, ApiError> {
    caller.may_do_all()?;
    app.store.documents().get(RULES, &name).ok_or_else(no_rule)?;
    read_state(&app, (RULE_STATES, &name))
}

/// `PUT /v1/alerts/rules/{name}/state`
async fn put_rule_state(
    State(app): State<AppState>,
    Path(name): Path<String>,
    caller: Caller,
    AwsJson(state): AwsJson<RuleState>,
) -> Result<Json<Value>, ApiError> {
    caller.may_do_all()?;
    app.store.documents().get(RULES, &name).ok_or_else(no_rule)?;
    blocking(move || write_state(&app, (RULE_STATES, &name), &state)).await
}

/// `GET /v1/alerts/state`
async fn state(
    State(app): State<AppState>,
    caller: Caller,
) -> Result<Json<AlerterState>, ApiError> {
    caller.may_do_all()?;
    read_state(&app, STATE)
}

/// `PUT /v1/alerts/state`
async fn put_state(
    State(app): State<AppState>,
    caller: Caller,
    AwsJson(state): AwsJson<AlerterState>,
) -> Result<Json<Value>, ApiError> {
    caller.may_do_all()?;
    blocking(move || write_state(&app, STATE, &state)).await
}

fn read_state<T: DeserializeOwned + Default>(
    app: &App,
    (kind, key): (&str, &str),
) -> Result<Json<T>, ApiError> {
    let document = app.store.documents().get(kind, key);
    let state = document.map(|text| serde_json::from_slice(&text)).transpose();
    Ok(Json(state.map_err(ApiError::internal)?.unwrap_or_default()))
}

/// Blocks.
fn write_state(
    app: &App,
    (kind, key): (&str, &str),
    state: &impl Serialize,
) -> Result<Json<Value>, ApiError> {
    let text = serde_json::to_vec(state).map_err(ApiError::internal)?;
    app.store.documents().put(kind, key, text).map_err(refused)?;
    Ok(Json(json!({})))
}

/// Stores a rule, with the stream and the queue that it needs. Blocks.
fn store_rule(app: &App, name: String, rule: Rule) -> Result<NamedRule, ApiError> {
    let documents = app.store.documents();
    let is_new = documents.get(RULES, &name).is_none();
    if is_new && documents.list(RULES).len() >= MAX_RULES {
        let message = format!("There are {MAX_RULES} rules already.");
        return Err(ApiError::new(ErrorKind::ClientLimitExceeded, message));
    }
    make_alert_stream(app)?;
    let queue = keep_queue(app, &name, &rule)?;
    let queue_arn = queue.map(|queue| arn(app, format_args!("queue/{}", queue.key)));
    let updated = app.clock.now().as_secs_f64();
    documents.update(RULES, &name.clone(), move |before| {
        let before = before.map(stored).transpose()?;
        let created = before.map_or(updated, |before| before.created);
        let named = NamedRule { name, created, updated, rule, queue_arn };
        let text = serde_json::to_vec(&named).map_err(ApiError::internal)?;
        Ok((Change::Put(text), named))
    })
}

/// Makes the stream of all alerts, unless it exists. Queues need one without a number of shards.
fn make_alert_stream(app: &App) -> Result<(), ApiError> {
    let name = alert_stream();
    if app.records.info(&name).is_ok() {
        return Ok(());
    }
    let new = NewRecordStream {
        name: name.clone(),
        shards: None,
        tags: Default::default(),
        max_record_kib: MIN_MAX_RECORD_KIB,
        warm_mibps: None,
        distribution: Distribution::PartitionKey,
    };
    match app.records.create(new) {
        Ok(_) => {}
        // By somebody else, a moment ago.
        Err(_) if app.records.info(&name).is_ok() => {}
        Err(error) => return Err(ApiError::invalid(format!("The stream {name}: {error}."))),
    }
    app.records.increase_retention(&name, ALERT_HOURS).map_err(ApiError::internal)
}

/// Makes, sets or deletes the queue of a rule, as its receivers want it.
fn keep_queue(app: &App, name: &str, rule: &Rule) -> Result<Option<Arc<QueueInfo>>, ApiError> {
    let attributes = QueueAttributes {
        visibility_seconds: VISIBILITY_SECONDS,
        max_receives: Some(rule.max_attempts),
    };
    match (queue_of(app, name), rule.targets.is_empty()) {
        (None, true) => Ok(None),
        (Some(queue), true) => app.queues.delete(&queue.key).map(|()| None),
        (Some(queue), false) => app.queues.update(&queue.key, attributes).map(Some),
        (None, false) => app
            .queues
            .create(NewQueue {
                name: format!("{QUEUE_PREFIX}{name}"),
                stream: alert_stream(),
                start: QueueStart::Latest,
                attributes,
                tags: Default::default(),
            })
            .map(Some),
    }
    .map_err(queue_refused)
}

fn queue_of(app: &App, rule: &str) -> Option<Arc<QueueInfo>> {
    let name = format!("{QUEUE_PREFIX}{rule}");
    app.queues.list().into_iter().find(|queue| queue.name == name)
}

fn alert_stream() -> StreamName {
    ALERT_STREAM.parse().expect("the constant is a stream's name")
}

fn stored(document: impl AsRef<[u8]>) -> Result<NamedRule, ApiError> {
    serde_json::from_slice(document.as_ref()).map_err(ApiError::internal)
}

fn no_rule() -> ApiError {
    ApiError::new(ErrorKind::ResourceNotFound, "There is no rule of that name.")
}

fn refused(error: DocumentError) -> ApiError {
    match error {
        DocumentError::Database(_) => ApiError::internal(error),
        error => ApiError::invalid(format!("Not stored: {error}.")),
    }
}

fn queue_refused(error: QueueError) -> ApiError {
    match error {
        QueueError::TooManyReaders { limit, .. } => ApiError::new(
            ErrorKind::ClientLimitExceeded,
            format!(
                "{limit} rules have targets already, or other readers read {ALERT_STREAM} \
                 (records.max_consumers_per_stream)."
            ),
        ),
        QueueError::NotOnDemand(name) => {
            ApiError::invalid(format!("The stream {name} is not ON_DEMAND, which queues need."))
        }
        error => ApiError::internal(error),
    }
}

impl From<DocumentError> for ApiError {
    fn from(error: DocumentError) -> Self {
        refused(error)
    }
}

impl From<InvalidRule> for ApiError {
    fn from(error: InvalidRule) -> Self {
        Self::invalid(format!("{error}."))
    }
}
