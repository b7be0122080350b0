//! The lists of the API, page by page.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::super::connection::Connection;
use super::super::error::Failure;
use super::query::with;

/// The size of the largest page that the API allows.
const LARGEST_PAGE: u64 = 500;

/// The length of a list.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct ListArgs {
    /// List at most this many [default: all]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
}

/// A list that is read page by page, so that a long one need not be in memory at once.
#[derive(Debug)]
pub struct Pages<'a> {
    connection: &'a Connection,
    list: Url,
    next: Next,
}

#[derive(Debug)]
enum Next {
    First,
    At(String),
    None,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl<'a> Pages<'a> {
    pub const fn of(connection: &'a Connection, list: Url) -> Self {
        Self { connection, list, next: Next::First }
    }

    /// Returns the next page of at most `largest` items, or none after the last one.
    pub async fn next(&mut self, largest: u64) -> Result<Option<Vec<Value>>, Failure> {
        let cursor = match &self.next {
            Next::First => None,
            Next::At(cursor) => Some(cursor.as_str()),
            Next::None => return Ok(None),
        };
        let limit = largest.clamp(1, LARGEST_PAGE).to_string();
        let page = with(self.list.clone(), &[("limit", Some(&limit)), ("cursor", cursor)]);
        let page: Page = self.connection.get(page).await?;
        self.next = page.next_cursor.map_or(Next::None, Next::At);
        Ok(Some(page.items))
    }
}

/// Returns the items of a list, up to the limit.
pub async fn items(
    connection: &Connection,
    list: Url,
    length: ListArgs,
) -> Result<Vec<Value>, Failure> {
    items_that(connection, list, length, |_| true).await
}

/// Returns the items of a list that are wanted, up to the limit.
pub async fn items_that(
    connection: &Connection,
    list: Url,
    ListArgs { limit }: ListArgs,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Vec<Value>, Failure> {
    let limit = limit.unwrap_or(u64::MAX);
    let (mut pages, mut items) = (Pages::of(connection, list), Vec::new());
    while (items.len() as u64) < limit {
        let Some(page) = pages.next(limit - items.len() as u64).await? else { break };
        items.extend(page.into_iter().filter(&is_wanted));
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use actix_web::web::{self, ServiceConfig};
    use actix_web::{HttpRequest, HttpResponse};
    use serde_json::json;

    use super::super::super::test_server::serve;
    use super::*;

    /// Answers a list of the numbers from 0 to 9, three a page, whatever is asked for.
    fn numbers(config: &mut ServiceConfig) {
        let page = async |request: HttpRequest| {
            let query = request.query_string().to_owned();
            let cursor = query.split("cursor=").nth(1).and_then(|rest| rest.parse().ok());
            let from: u64 = cursor.unwrap_or(0);
            let items: Vec<_> = (from..(from + 3).min(10)).collect();
            let next = (from + 3 < 10).then(|| (from + 3).to_string());
            HttpResponse::Ok().json(json!({"items": items, "next_cursor": next}))
        };
        config.route("/api/v1/numbers", web::get().to(page));
    }

    #[actix_web::test]
    async fn a_list_is_followed_to_its_end() {
        let connection = serve(numbers).await;
        let list = connection.api(&["numbers"]).unwrap();
        let all = items(&connection, list.clone(), ListArgs::default()).await.unwrap();
        assert_eq!(Value::from(all), json!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
        let odd = |item: &Value| item.as_u64().unwrap() % 2 == 1;
        let odd = items_that(&connection, list, ListArgs::default(), odd).await.unwrap();
        assert_eq!(Value::from(odd), json!([1, 3, 5, 7, 9]));
    }
}
