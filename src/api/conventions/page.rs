//! Lists, page by page: `limit` and an opaque `cursor` in, `{items, next_cursor}` and `Link` out.

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

/// A page that has more bytes ends with this item: many readers who leave theirs lying would fill the memory.
const LARGEST_PAGE: usize = 2 << 20;

/// Which part of a list is asked for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// How many items at the most, 1 to 500.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Asks for the next page; none on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

impl PageQuery {
    pub fn limit(&self) -> Result<u16, Problem> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=LARGEST_LIMIT => Ok(limit),
            _ => Err(Problem::new(Code::BadLimit, "limit is 1 to 500")),
        }
    }

    /// One more than the limit: it tells whether there is a next page.
    pub fn fetch(&self) -> Result<i64, Problem> {
        self.limit().map(|limit| i64::from(limit) + 1)
    }

    /// Where the page before ended, in the list's own terms.
    pub fn position<P: DeserializeOwned>(&self) -> Result<Option<P>, Problem> {
        let bad = || {
            let detail = "the cursor is not one that this list gave; begin again without it";
            Problem::new(Code::BadCursor, detail)
        };
        let Some(cursor) = self.cursor.as_ref().filter(|cursor| !cursor.is_empty()) else {
            return Ok(None);
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| bad())?;
        // No list gives a NUL, and PostgreSQL fails on one.
        if bytes.windows(6).any(|escape| escape == br"\u0000") {
            return Err(bad());
        }
        serde_json::from_slice(&bytes).map(Some).map_err(|_| bad())
    }

    /// A page of a list that is short by nature and at hand whole, in the order of `key`.
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

    /// Fetches rows from a position on, so many at a time, until there is a page of those that the caller may see: its
    /// cursor names the last of them, and never what is hidden from the caller.
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

/// Of an item as it is sent; what cannot be written is told by the answer itself.
fn length(item: &impl Serialize) -> usize {
    serde_json::to_vec(item).map_or(0, |text| text.len())
}

impl<T: Serialize> Responder for Page<T> {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::Ok();
        if let Some(cursor) = &self.next_cursor {
            // RFC 8288; the other parameters stay as they were.
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
