//! The forecast: what a client fetches that has one revision and is to have another one.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::SMALLEST;
use super::making::MOST_COMPARED;
use crate::catalog::revision::RevisionDetails;
use crate::catalog::{Catalog, Error, Result};
use crate::delta::{self, SHORTEST_GAP, Seeds, is_worth_ranges};
use crate::model::{File, FileRole, ImageName, RevisionState, TransferFile};
use crate::storage::StorageError;

/// The way in which a file is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    Delta,
    Chunks,
    Whole,
}

/// The forecast for one file.
#[derive(Debug, Clone, Copy)]
pub struct FileForecast {
    pub role: FileRole,
    pub via: Via,
    pub bytes_total: u64,
    pub bytes_to_fetch: u64,
    /// The number of requests for bytes.
    pub ranges: u64,
}

/// The forecast for all files of a revision.
#[derive(Debug, Clone)]
pub struct Forecast {
    pub files: Vec<FileForecast>,
}

impl Catalog {
    /// Forecasts the way from revision `from` to revision `number`. Fails with `ChunksPending` while a chunk list that is
    /// needed is not made yet.
    pub async fn forecast_transfer(
        &self,
        name: &ImageName,
        number: i64,
        from: i64,
    ) -> Result<Forecast> {
        if number == from {
            return Err(Error::invalid("from", "must be another revision than the one to fetch"));
        }
        let target = self.ready_revision(name, number).await?;
        let base = self.revision(name, from).await?;
        let there = self.db.read().await?.transfer_files(target.image.id).await?;
        let mut files = Vec::new();
        for file in &target.files {
            files.push(self.forecast_of(file, &target, &base, &there).await?);
        }
        Ok(Forecast { files })
    }

    async fn forecast_of(
        &self,
        file: &File,
        target: &RevisionDetails,
        base: &RevisionDetails,
        there: &[TransferFile],
    ) -> Result<FileForecast> {
        let forecast = |via, bytes_to_fetch, ranges| FileForecast {
            role: file.role,
            via,
            bytes_total: file.size,
            bytes_to_fetch,
            ranges,
        };
        let whole = forecast(Via::Whole, file.size, 1);
        let Ok(seed) = base.file(file.role) else { return Ok(whole) };
        if file.size < SMALLEST || file.role == FileRole::Index || !self.rules().delta.chunks {
            return Ok(whole);
        }
        let of = |revision, base: Option<i64>| {
            there.iter().find(|transfer| {
                (transfer.revision_id, transfer.role, transfer.base) == (revision, file.role, base)
            })
        };
        if let Some(delta) = of(target.revision.id, Some(base.revision.number)) {
            return Ok(forecast(Via::Delta, delta.size, 1));
        }
        let (new, old) = match (of(target.revision.id, None), of(base.revision.id, None)) {
            (Some(new), Some(old)) => (new, old),
            // A client computes the chunks of any file, but nobody knows them here.
            _ if seed.size < SMALLEST || !self.has_list_soon(target, base, file.role).await? => {
                return Ok(whole);
            }
            _ => return Err(Error::ChunksPending),
        };
        if new.size + old.size > MOST_COMPARED {
            return Ok(whole);
        }
        // One at a time, also if the caller does not wait for the answer: the lists take memory.
        let alone = Arc::clone(&self.shared.forecasting).lock_owned().await;
        let lists = (self.read_chunk_list(new).await?, self.read_chunk_list(old).await?);
        let planned = spawn_blocking(move || {
            let _alone = alone;
            let mut seeds = Seeds::default();
            seeds.add(&lists.1);
            let plan = delta::plan(&lists.0, &seeds, SHORTEST_GAP);
            (plan.bytes_to_fetch(), plan.fetches().count() as u64)
        });
        let (bytes, ranges) =
            planned.await.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        let by_chunks = forecast(Via::Chunks, new.size + bytes, 1 + ranges);
        Ok(if is_worth_ranges(file.size, by_chunks.bytes_to_fetch) { by_chunks } else { whole })
    }

    /// Reports whether both lists are there, or will be made: the revisions are ready, and no attempt has failed.
    async fn has_list_soon(
        &self,
        target: &RevisionDetails,
        base: &RevisionDetails,
        role: FileRole,
    ) -> Result<bool> {
        let mut tx = self.db.read().await?;
        for revision in [&target.revision, &base.revision] {
            if revision.state != RevisionState::Ready
                || tx.has_chunk_list_failed(revision.id, role).await?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
