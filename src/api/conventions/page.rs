//! Lists, page by page: `limit` and an opaque `cursor` in the request, `{items, next_cursor}` and `Link` in the
//! response.

use actix_web::body::BoxBody;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, Responder};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::{Code, Problem};
use crate::catalog::Error;

const DEFAULT_LIMIT: u16 = 50;
const LARGEST_LIMIT: u16 = 500;

/// The number of bytes beyond which a page ends early. Many clients that do not read their responses would otherwise
/// fill the memory.
const LARGEST_PAGE: usize = 2 << 20;

/// The part of a list that is requested.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The maximum number of items, 1 to 500.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// The cursor for the next page; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl PageQuery {
    pub fn limit(&self) -> Result<u16, Problem> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=LARGEST_LIMIT => Ok(limit),
            _ => Err(Problem::new(Code::BadLimit, "limit must be from 1 to 500")),
        }
    }

    /// Returns the limit plus one: the additional row shows whether there is a next page.
    pub fn fetch(&self) -> Result<i64, Problem> {
        self.limit().map(|limit| i64::from(limit) + 1)
    }

    /// Returns the position at which the previous page ended, in the list's own format, or none for the first page.
    pub fn position<P: DeserializeOwned>(&self) -> Result<Option<P>, Problem> {
        let bad = || {
            let detail = "the cursor was not issued by this list; start again without a cursor";
            Problem::new(Code::BadCursor, detail)
        };
        let Some(cursor) = self.cursor.as_ref().filter(|cursor| !cursor.is_empty()) else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
        // No list issues a cursor with a NUL, and PostgreSQL fails on one.
        if bytes.windows(6).any(|escape| escape == br"\u0000") {
            return Err(bad());
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|_| bad())
    }

    /// Makes a page of a list that is short by nature and in memory as a whole, in the order of `key`.
    pub fn page_of<R, T: Serialize>(
        &self,
        rows: Vec<R>,
        key: impl Fn(&R) -> String,
        item: impl Fn(R) -> T,
    ) -> Result<Page<T>, Problem> {
        let (after, fetch) = (self.position::<String>()?, usize::from(self.limit()?) + 1);
        let behind = |row: &R| after.as_ref().is_none_or(|after| key(row) > *after);
        let rows = rows.into_iter().filter(behind).take(fetch).collect();
        self.page(rows, &key, item)
    }

    /// Fetches rows from a position on, in batches, until there is a page of rows that the caller may see. The cursor
    /// names the last of these, and never a row that is hidden from the caller.
    pub async fn visible<R, P: DeserializeOwned, F: Future<Output = Result<Vec<R>, Error>>>(
        &self,
        fetch: impl Fn(Option<P>, i64) -> F,
        position: impl Fn(&R) -> P,
        may_see: impl Fn(&R) -> bool,
    ) -> Result<Vec<R>, Problem> {
        let (wanted, mut batch) = (self.fetch()?, self.fetch()?);
        let (mut after, mut visible) = (self.position()?, Vec::new());
        loop {
            let rows = fetch(after, batch).await?;
            let is_end = (rows.len() as u64) < batch.unsigned_abs();
            after = rows.last().map(&position);
            visible.extend(rows.into_iter().filter(&may_see));
            if is_end || visible.len() as u64 >= wanted.unsigned_abs() {
                return Ok(visible);
            }
            batch = i64::from(LARGEST_LIMIT);
        }
    }

    /// Makes a page of rows that were fetched with [`Self::fetch`].
    pub fn page<R, T: Serialize, P: Serialize>(
        &self,
        mut rows: Vec<R>,
        position: impl Fn(&R) -> P,
        item: impl Fn(R) -> T,
    ) -> Result<Page<T>, Problem> {
        let limit = usize::from(self.limit()?);
        let mut more = rows.len() > limit;
        rows.truncate(limit);
        let (mut items, mut bytes, mut last) = (Vec::new(), 0, None);
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            last = Some(position(&row));
            let item = item(row);
            bytes += length(&item);
            items.push(item);
            if bytes > LARGEST_PAGE {
                more |= rows.peek().is_some();
                break;
            }
        }
        let last = last.filter(|_| more);
        let next_cursor = last
            .and_then(|position| serde_json::to_vec(&position).ok())
            .map(|p| URL_SAFE_NO_PAD.encode(p));
        Ok(Page { items, next_cursor })
    }
}

/// Returns the length of an item as it is sent. An item that cannot be serialized counts as 0; the response itself
/// reports that failure.
fn length(item: &impl Serialize) -> usize {
    serde_json::to_vec(item).map_or(0, |text| text.len())
}

impl<T: Serialize> Responder for Page<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::Ok();
        if let Some(cursor) = &self.next_cursor {
            // The link has the format of RFC 8288. The other parameters stay unchanged.
            let others = request
                .query_string()
                .split('&')
                .filter(|part| !part.is_empty() && !part.starts_with("cursor="));
            let query: Vec<&str> = others.collect();
            let joint = if query.is_empty() { "" } else { "&" };
            let link = format!(
                "<{}?{}{joint}cursor={cursor}>; rel=\"next\"",
                request.path(),
                query.join("&")
            );
            response.insert_header((header::LINK, link));
        }
        response.json(self)
    }
}
