//! Certificates as an operator makes them: by the openssl program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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

impl Authority {
    /// Makes one.
    pub(crate) fn new(dir: &Path, name: &str) -> Self {
        let (key, file) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN={name}");
        openssl(
            dir,
            &[
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                &key,
                "-out",
                &file,
                "-days",
                "2",
                "-subj",
                &subject,
                "-addext",
                "keyUsage=critical,keyCertSign",
            ],
        );
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
    pub(crate) fn sign(&self, common_name: &str, extension: &str) -> (PathBuf, PathBuf) {
        let base = format!("{}-{}", self.name, common_name.replace(['.', ' '], "_"));
        let (key, request, file, ext) = (
            format!("{base}.key"),
            format!("{base}.csr"),
            format!("{base}.crt"),
            format!("{base}.ext"),
        );
        let subject = format!("/CN={common_name}");
        openssl(
            &self.dir,
            &[
                "req",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                &key,
                "-out",
                &request,
                "-subj",
                &subject,
            ],
        );
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
