//! Digests in a row. The declaration for names would not do: text from a row is checked as text from anywhere.
//!
//! Here and not beside the type in `model`, because the client knows digests, too, and no database.

use crate::model::Digest;
use crate::model::row::text_column;

// In a row a digest is the text that the API shows.
text_column!(Digest);

impl<'r, D: sqlx::Database> sqlx::Decode<'r, D> for Digest
where
    String: sqlx::Decode<'r, D>,
{
    fn decode(value: D::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        Ok(String::decode(value)?.parse()?)
    }
}
