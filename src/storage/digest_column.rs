//! Digests in a row. A transparent derive would not do: text from a row is checked as text from anywhere.
//!
//! Here and not beside the type in `model`, because the client knows digests, too, and no database.

use crate::model::Digest;

/// In a row a digest is the text that the API shows.
impl<D: sqlx::Database> sqlx::Type<D> for Digest
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

impl<'r, D: sqlx::Database> sqlx::Decode<'r, D> for Digest
where
    String: sqlx::Decode<'r, D>,
{
    fn decode(value: D::ValueRef<'r>) -> Result<Self, sqlx::error::BoxDynError> {
        Ok(String::decode(value)?.parse()?)
    }
}
