//! The client of an object store, by the scheme of its URL.
//!
//! `object_store::parse_url_opts` gives no [`MultipartStore`] and ignores options that it does not
//! know, so the three builders are called here. What the environment says (such as `AWS_REGION`)
//! counts where the settings say nothing.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use super::PART_TIME;
use crate::storage::error::StorageError;

/// A client keeps trying for this long; longer, and its own caller would have hung up.
const TRY_FOR: Duration = Duration::from_secs(10);
const RETRIES: usize = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Whose requests a bucket takes beside those that all services have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    S3,
    Azure,
    Google,
}

/// A bucket, or what is below a prefix of it. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub objects: Arc<dyn ObjectStore>,
    pub multiparts: Arc<dyn MultipartStore>,
    pub signer: Arc<dyn Signer>,
    pub service: Service,
    /// The bucket's name.
    pub bucket: String,
    pub prefix: Path,
}

/// `Unusable` for a scheme or an option that is not known.
pub fn connect(
    url: &Url,
    options: impl IntoIterator<Item = (String, String)>,
) -> Result<Client, StorageError> {
    let (scheme, prefix) = ObjectStoreScheme::parse(url).map_err(|_| unknown(url))?;
    let bucket = url.host_str().unwrap_or_default().to_owned();
    macro_rules! client {
        ($service:ident, $builder:ty) => {{
            let mut builder = <$builder>::from_env()
                .with_url(url.as_str())
                .with_retry(retry())
                .with_client_options(client_options());
            for (name, value) in options {
                let key = name.to_ascii_lowercase().parse().map_err(|_| {
                    StorageError::Unusable(format!("store.options.{name} is not known"))
                })?;
                builder = builder.with_config(key, value);
            }
            let store = Arc::new(builder.build()?);
            Client {
                objects: Arc::clone(&store) as _,
                multiparts: Arc::clone(&store) as _,
                signer: store,
                service: Service::$service,
                bucket,
                prefix,
            }
        }};
    }
    Ok(match scheme {
        ObjectStoreScheme::AmazonS3 => client!(S3, AmazonS3Builder),
        ObjectStoreScheme::MicrosoftAzure => client!(Azure, MicrosoftAzureBuilder),
        ObjectStoreScheme::GoogleCloudStorage => client!(Google, GoogleCloudStorageBuilder),
        _ => return Err(unknown(url)),
    })
}

fn unknown(url: &Url) -> StorageError {
    StorageError::Unusable(format!(
        "store.url {url} is no folder and no bucket: file://, s3://, az:// or gs://"
    ))
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { max_backoff: LONGEST_PAUSE, ..BackoffConfig::default() },
        max_retries: RETRIES,
        retry_timeout: TRY_FOR,
    }
}

/// A time-out for whole requests would cut long downloads off; writes have limits of their own.
fn client_options() -> ClientOptions {
    ClientOptions::new().with_timeout_disabled().with_read_timeout(PART_TIME)
}
