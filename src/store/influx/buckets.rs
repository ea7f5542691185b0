//! Buckets: whether they are there, how long they keep, making them.

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Influx, InfluxError};

const DAY_S: u64 = 86_400;

/// A bucket as the server has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Name.
    pub name: String,
    /// How long it keeps, days, rounded down; 0 for ever. None if the server does not say.
    pub keep_days: Option<u64>,
    /// How long the settings want it to, days.
    pub wanted_days: u64,
}

impl Influx {
    /// Makes sure that both buckets are there, creating them if that is allowed, and tells how long they
    /// keep.
    ///
    /// # Errors
    /// `NoBucket`, `Unauthorized`, `Unreachable`.
    pub async fn ensure_buckets(&self) -> Result<Vec<Bucket>, InfluxError> {
        let settings = self.settings();
        let mut buckets = Vec::new();
        for (name, keep_days) in [
            (&settings.bucket, settings.keep_days),
            (&settings.bucket_hourly, settings.keep_hourly_days),
        ] {
            buckets.push(self.ensure_bucket(name, u64::from(keep_days)).await?);
        }
        Ok(buckets)
    }

    async fn ensure_bucket(&self, name: &str, wanted_days: u64) -> Result<Bucket, InfluxError> {
        let bucket = |keep_days| Bucket {
            name: name.to_owned(),
            keep_days,
            wanted_days,
        };
        let query = [("name", name), ("org", self.settings().org.as_str())];
        let listed = self
            .answered(self.request(Method::GET, "/api/v2/buckets").query(&query))
            .await;
        match listed {
            Ok(response) => {
                let body: Value = response
                    .json()
                    .await
                    .map_err(|error| self.misunderstood(error))?;
                if let Some(found) = body["buckets"].get(0) {
                    let every_s = found["retentionRules"][0]["everySeconds"].as_u64();
                    return Ok(bucket(Some(every_s.unwrap_or(0) / DAY_S)));
                }
            }
            // InfluxDB says 404 for a bucket or organisation that is not there, openGemini for the path.
            Err(InfluxError::NoBucket { reason, .. }) if reason.contains("page not found") => {
                self.ensure_database(name, wanted_days).await?;
                return Ok(bucket(None));
            }
            Err(InfluxError::NoBucket { reason, .. }) if reason.contains("organization") => {
                return Err(self.no_bucket(name, &reason));
            }
            Err(InfluxError::NoBucket { .. }) => {}
            Err(error) => return Err(error),
        }
        if !self.settings().create_buckets {
            return Err(self.no_bucket(name, "influx.create_buckets is off"));
        }
        self.create_bucket(name, wanted_days).await?;
        Ok(bucket(Some(wanted_days)))
    }

    fn no_bucket(&self, bucket: &str, reason: &str) -> InfluxError {
        InfluxError::NoBucket {
            url: self.settings().url.clone(),
            org: self.settings().org.clone(),
            bucket: bucket.to_owned(),
            reason: reason.to_owned(),
        }
    }

    async fn create_bucket(&self, name: &str, keep_days: u64) -> Result<(), InfluxError> {
        let query = [("org", self.settings().org.as_str())];
        let listed = self
            .answered(self.request(Method::GET, "/api/v2/orgs").query(&query))
            .await?;
        let body: Value = listed
            .json()
            .await
            .map_err(|error| self.misunderstood(error))?;
        let Some(org_id) = body["orgs"][0]["id"].as_str() else {
            return Err(self.no_bucket(name, "no such organisation"));
        };
        let rules = match keep_days {
            0 => json!([]),
            days => json!([{ "type": "expire", "everySeconds": days * DAY_S }]),
        };
        let asked = json!({ "orgID": org_id, "name": name, "retentionRules": rules });
        let request = self.request(Method::POST, "/api/v2/buckets").json(&asked);
        self.answered(request).await.map(drop)
    }

    /// openGemini has databases and no buckets; one that is there already is no error to it.
    async fn ensure_database(&self, name: &str, keep_days: u64) -> Result<(), InfluxError> {
        if !self.settings().create_buckets {
            return Ok(());
        }
        let keep = match keep_days {
            0 => String::new(),
            days => format!(" WITH DURATION {days}d"),
        };
        let statement = format!("CREATE DATABASE \"{name}\"{keep}");
        let request = self
            .request(Method::POST, "/query")
            .query(&[("q", statement)]);
        let response = self.answered(request).await?;
        let body: Value = response
            .json()
            .await
            .map_err(|error| self.misunderstood(error))?;
        let said = body["error"]
            .as_str()
            .or_else(|| body["results"][0]["error"].as_str());
        said.map_or(Ok(()), |reason| Err(self.no_bucket(name, reason)))
    }
}
