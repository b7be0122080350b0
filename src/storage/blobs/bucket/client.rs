//! The client of an object store, chosen by the scheme of its URL.
//!
//! `object_store::parse_url_opts` returns no [`MultipartStore`] and ignores options that it does not know, so the three
//! builders are called here. Environment variables (such as `AWS_REGION`) apply to everything that the settings leave
//! out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{
    HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector,
};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{HeaderMap, HeaderName, HeaderValue, Method, Signer};
use object_store::{BackoffConfig, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig};
use url::Url;

use super::observed::{IsOfBucket, Observed, ServiceTime};
use super::time_limits::PART_TIME;
use crate::storage::error::{StorageError, away};

/// The time for which a client retries. With a longer time, its own caller would have given up.
const TRY_FOR: Duration = Duration::from_secs(10);
const RETRIES: usize = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The service of a bucket, for requests that not all services have in common.
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
    http: HttpClient,
    /// The time by the service's clock.
    pub time: ServiceTime,
    pub service: Service,
    pub encryption: Arc<Encryption>,
    /// The bucket's name.
    pub bucket: String,
    pub prefix: Path,
}

/// The way in which the service encrypts objects.
pub enum Encryption {
    /// By its own rules, or as these headers request when an object is created.
    Ordered(HeaderMap),
    /// With a key of the client's own (`sse-c`), without which nobody can read the objects.
    WithOwnKey,
}

/// The answer of a service to a request that was signed by hand.
pub struct Answer {
    pub status: reqwest::StatusCode,
    pub body: Bytes,
}

impl Client {
    /// Sends a request that `object_store` has signed but has no method for. It uses the client's connections, so the
    /// same proxies and certificate authorities apply. `url` is a credential and must never be shown.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: impl Into<HttpRequestBody>,
        time: Duration,
    ) -> Result<Answer, StorageError> {
        let mut request = HttpRequest::new(body.into());
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        *request.uri_mut() =
            url.as_str().parse().map_err(|_| away("a signed address is not a URL".to_owned()))?;
        let length = HeaderValue::from(request.body().content_length());
        request.headers_mut().insert("content-length", length);
        let answered = async {
            let (head, body) = self.http.execute(request).await?.into_parts();
            Ok(Answer { status: head.status, body: body.bytes().await? })
        };
        let answered = tokio::time::timeout(time, answered).await;
        let answered =
            answered.map_err(|_| away("the bucket's answer took too long".to_owned()))?;
        answered.map_err(|error: object_store::client::HttpError| away(error.to_string()))
    }
}

/// The connector of a client. It keeps the connections for requests that the client has no method for. The client's own
/// connections are the last that it asks for; those before are for credentials.
#[derive(Debug, Clone, Default)]
struct Connections {
    last: Arc<Mutex<Option<(HttpClient, IsOfBucket)>>>,
    time: ServiceTime,
}

impl HttpConnector for Connections {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = ReqwestConnector::default().connect(options)?;
        let (made, is_of_bucket) = Observed::client(plain, self.time.clone());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = last.replace((made.clone(), is_of_bucket)) {
            before.withdraw();
        }
        Ok(made)
    }
}

impl Connections {
    fn last(&self) -> Result<HttpClient, StorageError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        last.map(|(client, _)| client).ok_or_else(|| {
            StorageError::Unusable("the bucket's client has no connection".to_owned())
        })
    }
}

/// Creates the client of a bucket. Returns `Unusable` for an unknown scheme or option.
pub fn connect(
    url: &Url,
    options: impl IntoIterator<Item = (String, String)>,
) -> Result<Client, StorageError> {
    let (scheme, prefix) = ObjectStoreScheme::parse(url).map_err(|_| unknown(url))?;
    let bucket = url.host_str().unwrap_or_default().to_owned();
    macro_rules! client {
        ($service:ident, $builder:ty, $endpoints:expr, $encryption:expr) => {{
            let connections = Connections::default();
            let mut builder = <$builder>::from_env()
                .with_http_connector(connections.clone())
                .with_url(url.as_str())
                .with_retry(retry())
                .with_client_options(client_options());
            for (name, value) in options {
                let key = name.to_ascii_lowercase().parse().map_err(|_| {
                    StorageError::Unusable(format!("store.options.{name} is not known"))
                })?;
                builder = builder.with_config(key, value);
            }
            for key in $endpoints {
                check_endpoint(key, builder.get_config_value(&key.parse()?))?;
            }
            let encryption: Encryption = $encryption(&builder)?;
            let store = Arc::new(builder.build()?);
            Client {
                objects: Arc::clone(&store) as _,
                multiparts: Arc::clone(&store) as _,
                signer: store,
                http: connections.last()?,
                time: connections.time.clone(),
                service: Service::$service,
                encryption: Arc::new(encryption),
                bucket,
                prefix,
            }
        }};
    }
    Ok(match scheme {
        ObjectStoreScheme::AmazonS3 => {
            client!(S3, AmazonS3Builder, ["aws_endpoint", "aws_metadata_endpoint"], encryption_of)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            client!(
                Azure,
                MicrosoftAzureBuilder,
                ["azure_storage_endpoint", "azure_msi_endpoint"],
                |_: &_| Ok::<_, StorageError>(Encryption::Ordered(HeaderMap::new()))
            )
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            client!(Google, GoogleCloudStorageBuilder, ["google_base_url"], |_: &_| Ok::<
                _,
                StorageError,
            >(
                Encryption::Ordered(HeaderMap::new())
            ))
        }
        _ => return Err(unknown(url)),
    })
}

/// Reads the encryption headers. `object_store` writes the same ones into its own requests, but does not expose them.
fn encryption_of(builder: &AmazonS3Builder) -> Result<Encryption, StorageError> {
    let mut headers = HeaderMap::new();
    for (option, header) in [
        ("aws_server_side_encryption", "x-amz-server-side-encryption"),
        ("aws_sse_kms_key_id", "x-amz-server-side-encryption-aws-kms-key-id"),
        ("aws_sse_bucket_key_enabled", "x-amz-server-side-encryption-bucket-key-enabled"),
    ] {
        let refuse = || {
            StorageError::Unusable(format!("store.options.{option} is not a valid header value"))
        };
        let key: AmazonS3ConfigKey = option.parse()?;
        let Some(value) = builder.get_config_value(&key) else { continue };
        if value == "sse-c" {
            return Ok(Encryption::WithOwnKey);
        }
        let value = HeaderValue::from_str(&value).map_err(|_| refuse())?;
        headers.insert(HeaderName::from_static(header), value);
    }
    Ok(Encryption::Ordered(headers))
}

/// Checks an endpoint before the client sees it. The client parses some endpoints only when it sends a request, and a
/// wrong one would end the process then.
fn check_endpoint(option: &str, value: Option<String>) -> Result<(), StorageError> {
    let Some(value) = value else { return Ok(()) };
    let refuse = |why: &dyn std::fmt::Display| {
        StorageError::Unusable(format!(
            "store.options.{option}: must be an address such as https://s3.example.com: {why}"
        ))
    };
    let url = Url::parse(&value).map_err(|error| refuse(&error))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refuse(&"it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(&"it must not contain credentials"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse(&"nothing may follow its path"));
    }
    // `Url` corrects such characters as it parses; the client uses the text as it is.
    if value.chars().any(|c| !c.is_ascii_graphic() || "<>\"{}|\\^`".contains(c)) {
        return Err(refuse(&"it contains characters that are not allowed in an address"));
    }
    Ok(())
}

fn unknown(url: &Url) -> StorageError {
    StorageError::Unusable(format!(
        "store.url {url} is neither a folder nor a bucket: use file://, s3://, az:// or gs://"
    ))
}

fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { max_backoff: LONGEST_PAUSE, ..BackoffConfig::default() },
        max_retries: RETRIES,
        retry_timeout: TRY_FOR,
    }
}

/// Returns the client's options. A time limit for whole requests would cut off long downloads; writes have limits of
/// their own.
fn client_options() -> ClientOptions {
    ClientOptions::new().with_timeout_disabled().with_read_timeout(PART_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_encrypted_as_the_options_say() {
        let set = |options: &[(&str, &str)]| {
            let mut builder = AmazonS3Builder::new();
            for (name, value) in options {
                builder = builder.with_config(name.parse().unwrap(), *value);
            }
            encryption_of(&builder).unwrap()
        };
        let options = [("aws_server_side_encryption", "aws:kms"), ("aws_sse_kms_key_id", "a-key")];
        let Encryption::Ordered(headers) = set(&options) else {
            panic!("a key of the client's own")
        };
        assert_eq!(headers["x-amz-server-side-encryption"], "aws:kms");
        assert_eq!(headers["x-amz-server-side-encryption-aws-kms-key-id"], "a-key");
        assert_eq!(headers.len(), 2);
        assert!(matches!(set(&[]), Encryption::Ordered(headers) if headers.is_empty()));
        let own = set(&[("aws_server_side_encryption", "sse-c")]);
        assert!(matches!(own, Encryption::WithOwnKey));
    }
}
