//! The form of digests in a row. The macro that names use would not do: text from a row is checked like text from
//! anywhere else.
//!
//! This is not beside the type in `model`, because the client uses digests, too, but no database.

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
