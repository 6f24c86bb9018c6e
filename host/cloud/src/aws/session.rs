//! The configuration of the SDK, and calls of its async clients from blocking code.

use std::future::Future;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::runtime::{Builder, Runtime};

use super::uri::AwsUri;
use crate::fault::Fault;

/// Credentials and region, loaded by the first call and kept: the SDK renews credentials before they expire.
#[derive(Debug, Default)]
pub(super) struct Session(OnceLock<SdkConfig>);

impl Session {
    pub(super) fn with_config(config: SdkConfig) -> Self {
        Self(config.into())
    }

    /// Returns the configuration of the clients for a key or secret.
    pub(super) fn config(&self, uri: &AwsUri, limit: Duration) -> Result<SdkConfig, Fault> {
        let config = match self.0.get() {
            Some(config) => config.clone(),
            None => {
                let loaded = block_on(limit, async { Ok(load().await) })?;
                self.0.get_or_init(|| loaded).clone()
            }
        };
        let mut config = config
            .into_builder()
            // Deadlines and retries are those of this crate.
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled());
        if let Some(region) = &uri.region {
            config.set_region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &uri.endpoint {
            config.set_endpoint_url(Some(endpoint.clone()));
        }
        let config = config.build();
        if config.region().is_none() {
            return Err(Fault::not_found("the region is not set: add `?region=REGION` or set AWS_REGION"));
        }
        Ok(config)
    }
}

async fn load() -> SdkConfig {
    let tls = Provider::Rustls(CryptoMode::Ring);
    let http = aws_smithy_http_client::Builder::new().tls_provider(tls).build_https();
    aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http).load().await
}

/// Runs a future of the SDK on the runtime of this crate and waits for its result. The caller may be an async thread of another
/// runtime.
pub(super) fn block_on<T: Send + 'static>(
    limit: Duration,
    future: impl Future<Output = Result<T, Fault>> + Send + 'static,
) -> Result<T, Fault> {
    let (reply, result) = mpsc::sync_channel(1);
    runtime()?.spawn(async move {
        let in_time = tokio::time::timeout(limit, future).await;
        // Fails only if the waiting thread has ended.
        let _ = reply.send(in_time.unwrap_or_else(|_| Err(Fault::timed_out(limit))));
    });
    result.recv().unwrap_or_else(|_| Err(Fault::refused("the call ended without a result")))
}

/// Returns the runtime of this crate. It is never dropped, because clients keep connections in it.
fn runtime() -> Result<&'static Runtime, Fault> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().worker_threads(1).thread_name("taskseal-aws").enable_all().build().ok()
    });
    runtime.as_ref().ok_or_else(|| Fault::refused("cannot start the async runtime"))
}
