//! What a connection needs from files: password, certificates, key.
//!
//! Read before each connection, so that a renewed certificate or a changed password needs no
//! restart.

use std::path::{Path, PathBuf};

use tokio_native_tls::native_tls::{self, Certificate, Identity, Protocol, TlsConnector};

use crate::settings::BrokerSettings;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A file cannot be read.
    #[error("broker `{broker}`: {key} {} cannot be read; {remedy}", path.display())]
    Unreadable {
        /// Broker by name.
        broker: String,
        /// Key of the settings.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("broker `{broker}`: {key} {} is not usable; {remedy}", path.display())]
    Unusable {
        /// Broker by name.
        broker: String,
        /// Key of the settings.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
        /// Why.
        #[source]
        source: native_tls::Error,
    },
    /// The CA file holds no certificate.
    #[error("broker `{broker}`: ca_file {} holds no certificate; write PEM blocks that begin with -----BEGIN CERTIFICATE-----", path.display())]
    NoCertificate {
        /// Broker by name.
        broker: String,
        /// The file.
        path: PathBuf,
    },
    /// OpenSSL refuses to begin.
    #[error("broker `{broker}`: TLS cannot be set up; see the OpenSSL configuration of this host")]
    Setup {
        /// Broker by name.
        broker: String,
        /// Why.
        #[source]
        source: native_tls::Error,
    },
}

impl SecretError {
    /// Stable code, the key of the Chinese sentence.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { key, .. } if *key == "password_file" => "collect.mqtt_password_file",
            Self::Unreadable { .. } => "collect.mqtt_file_unreadable",
            Self::Unusable { .. } | Self::NoCertificate { .. } => "collect.mqtt_certificate",
            Self::Setup { .. } => "collect.mqtt_tls_setup",
        }
    }
}

/// What the files of one broker hold.
pub(super) struct Secrets {
    pub(super) password: Option<String>,
    pub(super) tls: Option<TlsConnector>,
}

/// Reads the files that `broker` names.
pub(super) async fn read(broker: &BrokerSettings) -> Result<Secrets, SecretError> {
    let files = Files { broker };
    let password = match &broker.password_file {
        None => None,
        Some(path) => Some(files.text("password_file", path).await?),
    };
    let tls = if broker.transport.is_tls() {
        Some(files.connector().await?)
    } else {
        None
    };
    Ok(Secrets { password, tls })
}

struct Files<'a> {
    broker: &'a BrokerSettings,
}

impl Files<'_> {
    async fn bytes(&self, key: &'static str, path: &Path) -> Result<Vec<u8>, SecretError> {
        let remedy = if key == "password_file" {
            "create it with mode 0600 or remove password_file"
        } else {
            "name an existing file that this daemon may read"
        };
        tokio::fs::read(path)
            .await
            .map_err(|source| SecretError::Unreadable {
                broker: self.broker.name.clone(),
                key,
                path: path.to_owned(),
                remedy,
                source,
            })
    }

    /// The first line of a file that holds a secret.
    async fn text(&self, key: &'static str, path: &Path) -> Result<String, SecretError> {
        let bytes = self.bytes(key, path).await?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn unusable(
        &self,
        key: &'static str,
        path: &Path,
        remedy: &'static str,
    ) -> impl FnOnce(native_tls::Error) -> SecretError {
        let broker = self.broker.name.clone();
        let path = path.to_owned();
        move |source| SecretError::Unusable {
            broker,
            key,
            path,
            remedy,
            source,
        }
    }

    async fn connector(&self) -> Result<TlsConnector, SecretError> {
        let mut builder = TlsConnector::builder();
        builder.min_protocol_version(Some(Protocol::Tlsv12));
        if let Some(path) = &self.broker.ca_file {
            let pem = self.bytes("ca_file", path).await?;
            let certificates = Certificate::stack_from_pem(&pem).map_err(self.unusable(
                "ca_file",
                path,
                "write certificates in PEM",
            ))?;
            if certificates.is_empty() {
                return Err(SecretError::NoCertificate {
                    broker: self.broker.name.clone(),
                    path: path.clone(),
                });
            }
            // An authority of our own is the only one to be trusted then.
            builder.disable_built_in_roots(true);
            for certificate in certificates {
                builder.add_root_certificate(certificate);
            }
        }
        if let Some(identity) = self.identity().await? {
            builder.identity(identity);
        }
        builder.build().map_err(|source| SecretError::Setup {
            broker: self.broker.name.clone(),
            source,
        })
    }

    async fn identity(&self) -> Result<Option<Identity>, SecretError> {
        if let Some(path) = &self.broker.client_pkcs12_file {
            let der = self.bytes("client_pkcs12_file", path).await?;
            let password = match &self.broker.client_pkcs12_password_file {
                None => String::new(),
                Some(path) => self.text("client_pkcs12_password_file", path).await?,
            };
            let identity = Identity::from_pkcs12(&der, &password).map_err(self.unusable(
                "client_pkcs12_file",
                path,
                "check client_pkcs12_password_file and that the file is PKCS#12",
            ))?;
            return Ok(Some(identity));
        }
        let (Some(cert), Some(key)) = (&self.broker.client_cert_file, &self.broker.client_key_file)
        else {
            return Ok(None);
        };
        let cert_pem = self.bytes("client_cert_file", cert).await?;
        let key_pem = self.bytes("client_key_file", key).await?;
        let identity = Identity::from_pkcs8(&cert_pem, &key_pem).map_err(self.unusable(
            "client_key_file",
            key,
            "it must be the key of client_cert_file, unencrypted PKCS#8 (`openssl pkcs8 -topk8 -nocrypt -in key.pem`)",
        ))?;
        Ok(Some(identity))
    }
}
