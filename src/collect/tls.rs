//! TLS at our own ports, by OpenSSL: certificate and key from files, client certificates if wanted,
//! read again at SIGHUP.

#![warn(clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{PoisonError, RwLock};

use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod, SslVerifyMode};
use openssl::x509::X509;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_openssl::SslStream;
use tracing::info;

use crate::settings::{ClientCertificate, TlsSettings};

/// A connection over TLS.
pub type TlsStream = SslStream<tokio::net::TcpStream>;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that OpenSSL does not take.
    #[error("{key} {} cannot be used; {remedy}", path.display())]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
        /// What OpenSSL says.
        #[source]
        source: ErrorStack,
    },
    /// Certificates are asked for and nothing says which are good.
    #[error(
        "client_certificate asks meters for certificates but client_ca_file is not set; name the file of the authority that signs them"
    )]
    NoAuthority,
    /// OpenSSL itself.
    #[error("OpenSSL cannot be set up")]
    OpenSsl {
        /// What it says.
        #[source]
        source: ErrorStack,
    },
}

impl TlsError {
    /// Stable code, the key of the Chinese sentence.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "collect.tls_file",
            Self::NoAuthority => "collect.tls_no_authority",
            Self::OpenSsl { .. } => "collect.tls_openssl",
        }
    }
}

/// What a port offers now, and the files it comes from.
pub struct TlsPort {
    settings: TlsSettings,
    acceptor: RwLock<SslAcceptor>,
}

impl std::fmt::Debug for TlsPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsPort")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl TlsPort {
    /// Reads certificate, key and authority. Blocks.
    ///
    /// # Errors
    /// The first file that cannot be used, and what to do.
    pub fn load(settings: &TlsSettings) -> Result<Self, TlsError> {
        Ok(Self {
            acceptor: RwLock::new(acceptor(settings)?),
            settings: settings.clone(),
        })
    }

    /// Reads the files again; what was in force stays if they are wrong now. Blocks.
    ///
    /// # Errors
    /// As `load`.
    pub fn reload(&self) -> Result<(), TlsError> {
        let new = acceptor(&self.settings)?;
        *self
            .acceptor
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
        info!(
            "Read the certificate {} again",
            self.settings.certificate_file.display()
        );
        Ok(())
    }

    /// Whether nobody gets in without a certificate.
    pub fn is_certificate_required(&self) -> bool {
        self.settings.client_certificate == ClientCertificate::Required
    }

    /// Shakes hands; the stream, and the names in the peer's certificate, if it showed one.
    ///
    /// # Errors
    /// Why not, in words.
    pub async fn accept<S>(&self, stream: S) -> Result<(SslStream<S>, Vec<String>), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let ssl = {
            let acceptor = self.acceptor.read().unwrap_or_else(PoisonError::into_inner);
            Ssl::new(acceptor.context())
        };
        let mut stream = ssl
            .and_then(|ssl| SslStream::new(ssl, stream))
            .map_err(|error| error.to_string())?;
        Pin::new(&mut stream)
            .accept()
            .await
            .map_err(|error| words(&error))?;
        let names = stream
            .ssl()
            .peer_certificate()
            .map(|certificate| names(&certificate))
            .unwrap_or_default();
        Ok((stream, names))
    }
}

/// What went wrong in a handshake, for an operator.
fn words(error: &openssl::ssl::Error) -> String {
    let text = error.to_string();
    let hint = if text.contains("wrong version number") || text.contains("http request") {
        "; it does not speak TLS, set it to TLS or to the plain port"
    } else if text.contains("peer did not return a certificate") {
        "; it showed no certificate, give it one that client_ca_file signed"
    } else if text.contains("certificate verify failed") {
        "; its certificate was not signed by client_ca_file, or has expired"
    } else if text.contains("unknown ca") || text.contains("certificate unknown") {
        "; it does not trust our certificate, give it the authority that signed certificate_file"
    } else {
        ""
    };
    format!("TLS handshake failed: {text}{hint}")
}

/// Who a certificate says its holder is: common name first, then the alternative names.
fn names(certificate: &X509) -> Vec<String> {
    let subject = certificate.subject_name();
    let common = subject
        .entries_by_nid(Nid::COMMONNAME)
        .filter_map(|entry| entry.data().to_string().ok());
    let mut names: Vec<String> = common.collect();
    for alternative in certificate.subject_alt_names().into_iter().flatten() {
        let name = alternative
            .dnsname()
            .or_else(|| alternative.email())
            .or_else(|| alternative.uri());
        names.extend(name.map(str::to_owned));
    }
    names.retain(|name| !name.is_empty() && !name.contains('\0'));
    names
}

fn acceptor(settings: &TlsSettings) -> Result<SslAcceptor, TlsError> {
    let openssl = |source| TlsError::OpenSsl { source };
    // TLS 1.2 and 1.3, no weaker.
    let mut builder =
        SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).map_err(openssl)?;
    let wrong = |key, path: &Path, remedy| {
        let path = path.to_owned();
        move |source| TlsError::File {
            key,
            path,
            remedy,
            source,
        }
    };
    builder
        .set_certificate_chain_file(&settings.certificate_file)
        .map_err(wrong(
            "certificate_file",
            &settings.certificate_file,
            "name a PEM file with our certificate first and its authorities behind it",
        ))?;
    builder
        .set_private_key_file(&settings.key_file, SslFiletype::PEM)
        .and_then(|()| builder.check_private_key())
        .map_err(wrong(
            "key_file",
            &settings.key_file,
            "name a PEM file with the key of that certificate, readable by this user",
        ))?;
    builder
        .set_session_id_context(b"qiliang")
        .map_err(openssl)?;
    let mode = match settings.client_certificate {
        ClientCertificate::None => SslVerifyMode::NONE,
        ClientCertificate::Optional => SslVerifyMode::PEER,
        ClientCertificate::Required => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
    };
    if mode != SslVerifyMode::NONE {
        let Some(file) = &settings.client_ca_file else {
            return Err(TlsError::NoAuthority);
        };
        let wrong = || {
            wrong(
                "client_ca_file",
                file,
                "name a PEM file with the authorities that sign the meters' certificates",
            )
        };
        builder.set_ca_file(file).map_err(wrong())?;
        let authorities = openssl::x509::X509Name::load_client_ca_file(file).map_err(wrong())?;
        builder.set_client_ca_list(authorities);
    }
    builder.set_verify(mode);
    Ok(builder.build())
}
