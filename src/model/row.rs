//! Reads types from rows and writes them into rows, with declarations of our own. Statements are in `storage/queries/`.
//!
//! The derive macros of sqlx could do this. But for the compiler's side they would build both drivers, SQLite itself
//! and TLS a second time, which is a quarter of a clean build. The columns of a row are listed after its type; the
//! compiler reports a field that is left out.

/// Reads a type from a row of either database. A field has its column's name. After a colon comes the form in which the
/// column holds it: `json`, `size` (bytes, in a signed column), `optional_size`, or `flatten` (a type that is read from
/// the same row).
macro_rules! from_row {
    ($type:ident { $($field:ident $(: $form:ident)?),* $(,)? }) => {
        $crate::model::row::from_row!(@impl sqlx::sqlite::SqliteRow, $type { $($field $(: $form)?),* });
        $crate::model::row::from_row!(@impl sqlx::postgres::PgRow, $type { $($field $(: $form)?),* });
    };
    (@impl $row:ty, $type:ident { $($field:ident $(: $form:ident)?),* }) => {
        impl<'r> sqlx::FromRow<'r, $row> for $type {
            fn from_row(row: &'r $row) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: $crate::model::row::from_row!(@get row, $field $(, $form)?)),* })
            }
        }
    };
    (@get $row:ident, $field:ident) => {
        sqlx::Row::try_get($row, stringify!($field))?
    };
    (@get $row:ident, $field:ident, json) => {{
        let sqlx::types::Json(value) = sqlx::Row::try_get($row, stringify!($field))?;
        value
    }};
    (@get $row:ident, $field:ident, size) => {
        $crate::model::row::size(sqlx::Row::try_get($row, stringify!($field))?, stringify!($field))?
    };
    (@get $row:ident, $field:ident, optional_size) => {
        sqlx::Row::try_get::<Option<i64>, _>($row, stringify!($field))?
            .map(|size| $crate::model::row::size(size, stringify!($field)))
            .transpose()?
    };
    (@get $row:ident, $field:ident, flatten) => {
        sqlx::FromRow::from_row($row)?
    };
}
pub(crate) use from_row;

/// Converts a stored number of bytes. The column is signed, because neither database has unsigned ones.
pub(crate) fn size(stored: i64, column: &'static str) -> Result<u64, sqlx::Error> {
    stored.try_into().map_err(|error: std::num::TryFromIntError| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: error.into(),
    })
}

/// Declares that a type is bound as text, and read from a text column.
macro_rules! text_column {
    ($type:ty) => {
        impl<D: sqlx::Database> sqlx::Type<D> for $type
        where
            String: sqlx::Type<D>,
        {
            fn type_info() -> D::TypeInfo {
                String::type_info()
            }

            fn compatible(info: &D::TypeInfo) -> bool {
                String::compatible(info)
            }
        }
    };
}
pub(crate) use text_column;

/// Stores an enumeration in a row as the text that it has in JSON.
macro_rules! stored_as_text {
    ($type:ty) => {
        $crate::model::row::text_column!($type);

        impl<'q, D: sqlx::Database> sqlx::Encode<'q, D> for $type
        where
            String: sqlx::Encode<'q, D>,
        {
            fn encode_by_ref(
                &self,
                buffer: &mut D::ArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                let text: String = serde_json::from_value(serde_json::to_value(self)?)?;
                text.encode(buffer)
            }
        }

        impl<'r, D: sqlx::Database> sqlx::Decode<'r, D> for $type
        where
            &'r str: sqlx::Decode<'r, D>,
        {
            fn decode(value: D::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                let text = <&'r str as sqlx::Decode<'r, D>>::decode(value)?;
                let text = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
                Ok(<Self as serde::Deserialize>::deserialize(text)?)
            }
        }
    };
}
pub(crate) use stored_as_text;

/// Stores a type around a single text as that text. It is not validated again when it is read, because it was validated
/// when it was written.
macro_rules! stored_as_inner_text {
    ($type:ty) => {
        $crate::model::row::text_column!($type);

        impl<'q, D: sqlx::Database> sqlx::Encode<'q, D> for $type
        where
            String: sqlx::Encode<'q, D>,
        {
            fn encode_by_ref(
                &self,
                buffer: &mut D::ArgumentBuffer,
            ) -> Result<sqlx::encode::IsNull, sqlx::error::BoxDynError> {
                self.0.encode_by_ref(buffer)
            }
        }

        impl<'r, D: sqlx::Database> sqlx::Decode<'r, D> for $type
        where
            String: sqlx::Decode<'r, D>,
        {
            fn decode(value: D::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
                String::decode(value).map(Self)
            }
        }
    };
}
pub(crate) use stored_as_inner_text;

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use sqlx::sqlite::SqlitePool;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum State {
        InTwoWords,
    }

    stored_as_text!(State);

    #[derive(Debug, PartialEq)]
    struct Name(String);

    stored_as_inner_text!(Name);

    #[derive(Debug, PartialEq)]
    struct Sample {
        state: State,
        name: Option<Name>,
        size: u64,
        length: Option<u64>,
        words: Vec<String>,
    }

    from_row!(Sample { state, name, size: size, length: optional_size, words: json });

    async fn read(sql: &'static str) -> Result<Sample, sqlx::Error> {
        let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
        let query = sqlx::query_as(sql).bind(State::InTwoWords).bind(Name("a b".to_owned()));
        query.fetch_one(&pool).await
    }

    #[tokio::test]
    async fn a_row_is_read_by_the_names_of_its_columns() {
        let row =
            read("select '[\"a\"]' as words, $1 as state, $2 as name, 7 as size, null as length");
        let expected = Sample {
            state: State::InTwoWords,
            name: Some(Name("a b".to_owned())),
            size: 7,
            length: None,
            words: vec!["a".to_owned()],
        };
        assert_eq!(row.await.unwrap(), expected);
    }

    #[tokio::test]
    async fn what_is_bound_stands_in_the_row_as_its_text() {
        let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
        let query = sqlx::query_as("select $1 || ' ' || $2");
        let query = query.bind(State::InTwoWords).bind(Name("a b".to_owned()));
        let (text,): (String,) = query.fetch_one(&pool).await.unwrap();
        assert_eq!(text, "in_two_words a b");
    }

    #[tokio::test]
    async fn what_the_type_cannot_hold_is_an_error_and_no_other_value() {
        let wrong = [
            "select '[]' as words, 'no such state' as state, $2 as name, 7 as size, $1 as length",
            "select '[]' as words, $1 as state, $2 as name, -1 as size, null as length",
            "select '{}' as words, $1 as state, $2 as name, 7 as size, null as length",
        ];
        for sql in wrong {
            let error = read(sql).await.unwrap_err();
            assert!(matches!(error, sqlx::Error::ColumnDecode { .. }), "{sql}: {error}");
        }
    }
}
