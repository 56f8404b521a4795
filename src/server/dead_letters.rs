//! Dead letters: listed, shown, sent in again, dropped.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Server;
use super::error::{ApiError, ErrorBody};
use crate::change::Tick;
use crate::intake::{Dropped, Letter, Page, ReplayError};

/// Letters of one answer, unless it asks for fewer.
const PAGE: usize = 100;

/// Letters of one answer or one request.
const PAGE_MAX: usize = 1_000;

/// A thousand ids take a tenth of it.
const BODY_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParameters {
    /// Only letters of this table; those of texts that could not be embedded have the name of the index.
    table: Option<String>,
    /// How many; 100 without, 1,000 at most.
    limit: Option<usize>,
    /// Goes on after this id.
    after: Option<String>,
}

/// A dead letter without its bytes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LetterHead {
    /// The same whenever the message is delivered: `table/partition/offset`, and the row's number after the first.
    pub id: String,
    /// When it was first kept, in milliseconds since 1970.
    pub at: u64,
    pub reason: String,
    pub table: String,
    pub partition: String,
    pub offset: Option<u64>,
    /// Which row of the message, counted from 0.
    pub row: u32,
    /// The key of the document whose text could not be embedded; null where the letter is a message.
    pub document: Option<String>,
    /// Its changes are in, and it goes when a checkpoint covers them.
    pub replayed: bool,
}

/// Some dead letters, in the order in which they came.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LetterList {
    pub letters: Vec<LetterHead>,
    /// Kept letters, here or on other pages.
    pub total: usize,
    /// Letters that the disk has not taken yet; they are not listed.
    pub waiting: usize,
    /// What `after` must be for the next page; null on the last one.
    pub next: Option<String>,
}

/// Which letters: `ids`, or `all`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Up to 1,000.
    ids: Option<Vec<String>>,
    /// All of the table, or of all tables: up to 1,000 at once, `next` goes on.
    all: bool,
    table: Option<String>,
    /// With `all`: goes on after this id.
    after: Option<String>,
}

/// What became of the selected letters.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Letters that were decoded and go when a checkpoint covers their changes, or that are dropped.
    pub done: usize,
    /// Letters that fail again and stay.
    pub failed: Vec<StillDead>,
    /// Ids of no kept letter.
    pub unknown: Vec<String>,
    /// The tick that shows the changes; only of a replay that made any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick: Option<u64>,
    /// What `after` must be to go on; null where all have been seen to.
    pub next: Option<String>,
}

/// A letter that stays.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct StillDead {
    pub id: String,
    pub reason: String,
}

/// Lists what could not be decoded or embedded, oldest first.
#[utoipa::path(
    get,
    path = "/v1/dead-letters",
    tag = "dead-letters",
    params(ListParameters),
    responses(
        (status = 200, body = LetterList),
        (status = 400, body = ErrorBody, description = "A parameter is wrong, or there never was a letter `after`"),
    )
)]
pub async fn list(
    State(server): State<Arc<Server>>,
    parameters: Result<Query<ListParameters>, QueryRejection>,
) -> Result<Json<LetterList>, ApiError> {
    let Query(ListParameters { table, limit, after }) = parameters?;
    let limit = limit.unwrap_or(PAGE);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(
            ApiError::bad_request("bad_parameter", format!("limit is {limit}"))
                .hint(format!("from 1 to {PAGE_MAX}")),
        );
    }
    let page = server.page(table, after, limit).await?;
    Ok(Json(LetterList {
        next: next(&page),
        letters: page.letters.into_iter().map(head).collect(),
        total: page.total,
        waiting: page.waiting,
    }))
}

/// One dead letter with its raw bytes, in base64.
#[utoipa::path(
    get,
    path = "/v1/dead-letters/{id}",
    tag = "dead-letters",
    params(("id" = String, Path, description = "As the list names it; its slashes may stand as they are")),
    responses(
        (status = 200, body = Letter),
        (status = 404, body = ErrorBody, description = "There is no such letter, or not any more"),
    )
)]
pub async fn show(
    State(server): State<Arc<Server>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Letter>, ApiError> {
    let Path(id) = path?;
    let intake = server.app.intake.clone();
    let asked = id.clone();
    let found = server
        .pushes
        .run(move || intake.dead_letters().get(&asked))
        .await?;
    match found.map_err(unreadable)? {
        Some(letter) => Ok(Json(letter)),
        None => Err(
            ApiError::not_found("unknown_dead_letter", format!("there is no dead letter {id}"))
                .hint("it may have been replayed or dropped; /v1/dead-letters lists what there is"),
        ),
    }
}

/// Decodes letters again, at their old positions: an older row never replaces a newer one.
///
/// What decodes goes when a checkpoint covers it; what fails again stays, with its new reason.
#[utoipa::path(
    post,
    path = "/v1/dead-letters/replay",
    tag = "dead-letters",
    request_body = Selection,
    responses(
        (status = 200, body = Done, description = "The changes are in; `failed` names the letters that stay"),
        (status = 400, body = ErrorBody, description = "The body does not say which letters"),
        (status = 503, body = ErrorBody, description = "The node is stopping; all letters stay"),
    )
)]
pub async fn replay(State(server): State<Arc<Server>>, request: Request) -> Result<Json<Done>, ApiError> {
    let Selected { ids, next } = server.select(request).await?;
    let intake = server.app.intake.clone();
    let stopping = || ApiError::unavailable("stopping", "the node is stopping; all letters stay");
    let replayed = server.pushes.run(move || intake.replay(&ids)).await?;
    let mut replayed = replayed.map_err(|error| match error {
        ReplayError::Closed(_) => stopping(),
        ReplayError::Read(error) => unreadable(error),
    })?;
    let tick = replayed.tick().await.ok_or_else(stopping)?;
    if tick > Tick(0) {
        server
            .app
            .published
            .wait_for(|snapshot| snapshot.tick >= tick)
            .await;
    }
    let done = Done {
        done: replayed.decoded.len(),
        failed: replayed
            .failed
            .into_iter()
            .map(|(id, reason)| StillDead { id, reason })
            .collect(),
        unknown: replayed.unknown,
        tick: (tick > Tick(0)).then_some(tick.0),
        next,
    };
    tokio::spawn(drop_when_durable(server, replayed.decoded, tick));
    Ok(Json(done))
}

/// Drops letters for good.
#[utoipa::path(
    post,
    path = "/v1/dead-letters/drop",
    tag = "dead-letters",
    request_body = Selection,
    responses(
        (status = 200, body = Done),
        (status = 400, body = ErrorBody, description = "The body does not say which letters"),
    )
)]
pub async fn drop_letters(
    State(server): State<Arc<Server>>,
    request: Request,
) -> Result<Json<Done>, ApiError> {
    let Selected { ids, next } = server.select(request).await?;
    let dropped = server.drop_ids(ids).await?;
    Ok(Json(Done {
        done: dropped.done,
        unknown: dropped.unknown,
        next,
        ..Done::default()
    }))
}

/// The letters that a request means, and where it goes on.
struct Selected {
    ids: Vec<String>,
    next: Option<String>,
}

impl Server {
    async fn page(
        &self,
        table: Option<String>,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page, ApiError> {
        let intake = self.app.intake.clone();
        let read = move || {
            let page = intake
                .dead_letters()
                .page(table.as_deref(), after.as_deref(), limit);
            page.map(|page| page.ok_or(after))
        };
        self.pushes
            .run(read)
            .await?
            .map_err(unreadable)?
            .map_err(|after| {
                let id = after.unwrap_or_default();
                ApiError::bad_request(
                    "unknown_dead_letter",
                    format!("there never was a dead letter {id} to go on after"),
                )
                .hint("`next` of the page before")
            })
    }

    async fn select(&self, request: Request) -> Result<Selected, ApiError> {
        let body = self.bodies.read(request, BODY_BYTES_MAX).await?;
        let hint = r#"{"ids": ["products/0/17"]}, or {"all": true} with or without "table""#;
        let selection: Selection = serde_json::from_slice(&body).map_err(|error| {
            ApiError::bad_request("bad_request", format!("the body cannot be read: {error}")).hint(hint)
        })?;
        match selection {
            Selection {
                ids: Some(ids),
                all: false,
                table: None,
                after: None,
            } if ids.len() <= PAGE_MAX => Ok(Selected { ids, next: None }),
            Selection {
                ids: None,
                all: true,
                table,
                after,
            } => {
                let page = self.page(table, after, PAGE_MAX).await?;
                Ok(Selected {
                    next: next(&page),
                    ids: page.letters.into_iter().map(|(letter, _)| letter.id).collect(),
                })
            }
            _ => Err(ApiError::bad_request(
                "bad_request",
                format!("the body must have up to {PAGE_MAX} `ids`, or `all`, and not both"),
            )
            .hint(hint)),
        }
    }

    async fn drop_ids(&self, ids: Vec<String>) -> Result<Dropped, ApiError> {
        let intake = self.app.intake.clone();
        let drop_them = move || intake.dead_letters().drop_letters(&ids);
        self.pushes.run(drop_them).await?.map_err(unreadable)
    }
}

/// Replayed letters stay until their changes survive a crash. If the node ends before, they can be replayed again.
async fn drop_when_durable(server: Arc<Server>, ids: Vec<String>, tick: Tick) {
    server.app.durable.wait_for(tick).await;
    if let Err(error) = server.drop_ids(ids).await {
        tracing::error!(
            ?error,
            "replayed dead letters cannot be dropped; they may be replayed again"
        );
    }
}

/// The id to go on after, if there are more.
fn next(page: &Page) -> Option<String> {
    let (last, _) = page.letters.last()?;
    page.more.then(|| last.id.clone())
}

fn head((letter, replayed): (Letter, bool)) -> LetterHead {
    LetterHead {
        id: letter.id,
        at: letter.at,
        reason: letter.reason,
        table: letter.table,
        partition: letter.partition,
        offset: letter.offset,
        row: letter.row,
        document: letter.document.map(|document| document.key),
        replayed,
    }
}

fn unreadable(error: io::Error) -> ApiError {
    ApiError::internal(format!("the file of dead letters: {error}"))
}
