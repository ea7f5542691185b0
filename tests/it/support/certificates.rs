//! Certificates as an operator makes them: by the openssl program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name the certificate of a broker bears.
pub(crate) const SERVER_NAME: &str = "broker.test";

/// Password of the PKCS#12 file.
pub(crate) const PKCS12_PASSWORD: &str = "open sesame";

/// An authority in a directory.
pub(crate) struct Authority {
    dir: PathBuf,
    name: String,
}

fn openssl(dir: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("openssl is part of the system");
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Makes a key and, for its common name, a request to sign or (with `-x509` in `more`) a certificate.
fn with_new_key(dir: &Path, common_name: &str, key: &str, out: &str, more: &[&str]) {
    let subject = format!("/CN={common_name}");
    let request = [
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-keyout",
        key,
        "-out",
        out,
        "-subj",
        &subject,
    ];
    openssl(dir, &[&request, more].concat());
}

impl Authority {
    /// Makes one.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let (key, file) = (format!("{name}.key"), format!("{name}.pem"));
        let more = [
            "-x509",
            "-days",
            "2",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ];
        with_new_key(dir, name, &key, &file, &more);
        Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.join(format!("{}.pem", self.name))
    }

    /// Signs a certificate for a common name; gives certificate and key. `extension` is for example
    /// `subjectAltName=IP:127.0.0.1`.
    pub(crate) fn sign(&self, common_name: &str, extension: &str) -> Pair {
        let base = format!("{}-{}", self.name, common_name.replace(['.', ' '], "_"));
        let (key, request, file, ext) = (
            format!("{base}.key"),
            format!("{base}.csr"),
            format!("{base}.crt"),
            format!("{base}.ext"),
        );
        with_new_key(&self.dir, common_name, &key, &request, &[]);
        fs::write(self.dir.join(&ext), format!("{extension}\n")).unwrap();
        let (ca, ca_key) = (format!("{}.pem", self.name), format!("{}.key", self.name));
        openssl(
            &self.dir,
            &[
                "x509",
                "-req",
                "-in",
                &request,
                "-CA",
                &ca,
                "-CAkey",
                &ca_key,
                "-CAcreateserial",
                "-out",
                &file,
                "-days",
                "2",
                "-extfile",
                &ext,
            ],
        );
        (self.dir.join(file), self.dir.join(key))
    }
}

/// Certificate and key.
pub(crate) type Pair = (PathBuf, PathBuf);

/// An authority, a broker and a client of it.
pub(crate) struct Certificates {
    pub(crate) authority: Authority,
    pub(crate) server: Pair,
    pub(crate) client: Pair,
    /// The client's pair in one file.
    pub(crate) pkcs12: PathBuf,
}

impl Certificates {
    /// Makes all of them in `dir`.
    pub(crate) fn make(dir: &Path) -> Self {
        let authority = Authority::new(dir, "authority");
        let server = authority.sign(SERVER_NAME, &format!("subjectAltName=DNS:{SERVER_NAME}"));
        let client = authority.sign("qiliang-test", "subjectAltName=DNS:qiliang-test");
        let pkcs12 = dir.join("client.p12");
        openssl(
            dir,
            &[
                "pkcs12",
                "-export",
                "-in",
                &client.0.to_string_lossy(),
                "-inkey",
                &client.1.to_string_lossy(),
                "-out",
                &pkcs12.to_string_lossy(),
                "-passout",
                &format!("pass:{PKCS12_PASSWORD}"),
            ],
        );
        Self {
            authority,
            server,
            client,
            pkcs12,
        }
    }

    /// Lines of a mosquitto listener with TLS.
    pub(crate) fn listener_lines(&self) -> String {
        format!(
            "cafile {}\ncertfile {}\nkeyfile {}\n",
            self.authority.file().display(),
            self.server.0.display(),
            self.server.1.display()
        )
    }
}
