//! An authority, a server and a client of one test, made by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The name the server's certificate bears.
pub(crate) const SERVER_NAME: &str = "broker.test";

/// Password of the PKCS#12 file.
pub(crate) const PKCS12_PASSWORD: &str = "open sesame";

/// Files in a directory of the test.
pub(crate) struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// Makes all of them in `dir`.
    pub(crate) fn make(dir: &Path) -> Self {
        let made = Self {
            dir: dir.to_owned(),
        };
        made.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
        ]);
        made.signed("server", SERVER_NAME);
        made.signed("client", "qiliang-test");
        made.openssl(&[
            "pkcs12",
            "-export",
            "-in",
            "client.pem",
            "-inkey",
            "client.key",
            "-out",
            "client.p12",
            "-passout",
            &format!("pass:{PKCS12_PASSWORD}"),
        ]);
        made
    }

    fn signed(&self, name: &str, common_name: &str) {
        let (key, csr) = (format!("{name}.key"), format!("{name}.csr"));
        let extensions = format!("{name}.ext");
        std::fs::write(
            self.path(&extensions),
            format!("subjectAltName=DNS:{common_name}\n"),
        )
        .unwrap();
        self.openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &csr,
            "-subj",
            &format!("/CN={common_name}"),
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &csr,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            &extensions,
            "-out",
            &format!("{name}.pem"),
        ]);
    }

    fn openssl(&self, arguments: &[&str]) {
        let done = Command::new("openssl")
            .args(arguments)
            .current_dir(&self.dir)
            .output()
            .expect("openssl is installed");
        assert!(
            done.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Lines of a mosquitto listener with TLS.
    pub(crate) fn listener_lines(&self) -> String {
        format!(
            "cafile {}\ncertfile {}\nkeyfile {}\n",
            self.path("ca.pem").display(),
            self.path("server.pem").display(),
            self.path("server.key").display()
        )
    }
}
