//! Writes a point and reads it back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::Value;

use super::client::{Influx, InfluxError};

/// A cluster shows the first write of a new shard after up to some 10 s.
const TRIES: u32 = 80;
const PAUSE: Duration = Duration::from_millis(250);

impl Influx {
    /// Writes a point of measurement `qiliang_doctor` to a bucket and reads it back; gives how long it
    /// took to be seen.
    ///
    /// # Errors
    /// What the server says, or that the point is not to be seen.
    pub async fn probe(&self, bucket: &str, now: DateTime<Utc>) -> Result<Duration, InfluxError> {
        let at = now.timestamp_millis();
        self.write(bucket, format!("qiliang_doctor probe=1i {at}"))
            .await?;
        let statement = format!("SELECT \"probe\" FROM \"qiliang_doctor\" WHERE time = {at}ms");
        let query = [("db", bucket), ("q", &statement), ("epoch", "ms")];
        let started = tokio::time::Instant::now();
        for _ in 0..TRIES {
            let asked = self.request(Method::GET, "/query").query(&query);
            let body: Value = self
                .answered(asked)
                .await?
                .json()
                .await
                .map_err(|error| self.misunderstood(error))?;
            if let Some(reason) = body["results"][0]["error"].as_str() {
                return Err(self.misunderstood(reason));
            }
            if body["results"][0]["series"][0]["values"][0][0].as_i64() == Some(at) {
                return Ok(started.elapsed());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(self.misunderstood(format!(
            "a point written to `{bucket}` is not to be read {} s later; may the token read it",
            started.elapsed().as_secs()
        )))
    }
}
