//! Certificates made for tests.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use tempfile::TempDir;

use super::{ClientTls, ServerTls};

/// A certificate authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// What a leaf certificate says.
pub(crate) struct Leaf {
    pub(crate) common_name: String,
    pub(crate) dns: Vec<String>,
    pub(crate) uris: Vec<String>,
    pub(crate) server: bool,
    pub(crate) expired: bool,
}

/// A certificate and its key, PEM.
pub(crate) struct Pair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Leaf {
    pub(crate) fn server(host: &str) -> Self {
        let dns = vec![host.to_owned()];
        Self {
            common_name: host.into(),
            dns,
            uris: Vec::new(),
            server: true,
            expired: false,
        }
    }

    pub(crate) fn client(name: &str) -> Self {
        Self {
            server: false,
            dns: Vec::new(),
            ..Self::server(name)
        }
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(crate) fn issue(&self, leaf: &Leaf) -> Pair {
        let mut params = CertificateParams::new(leaf.dns.clone()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, &leaf.common_name);
        for uri in &leaf.uris {
            params
                .subject_alt_names
                .push(SanType::URI(uri.as_str().try_into().unwrap()));
        }
        params.extended_key_usages = vec![if leaf.server {
            ExtendedKeyUsagePurpose::ServerAuth
        } else {
            ExtendedKeyUsagePurpose::ClientAuth
        }];
        if leaf.expired {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair {
            cert,
            key: key.serialize_pem(),
        }
    }
}

/// One authority, a server `server.test` and a client `client`, as files.
pub(crate) struct Pki {
    pub(crate) authority: Authority,
    folder: TempDir,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let pki = Self {
            authority: Authority::new("test"),
            folder: tempfile::tempdir().unwrap(),
        };
        std::fs::write(pki.path("ca.pem"), &pki.authority.pem).unwrap();
        pki.write("server", &pki.authority.issue(&Leaf::server("server.test")));
        pki.write("client", &pki.authority.issue(&Leaf::client("client")));
        pki
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces `<name>.pem` and `<name>.key`.
    pub(crate) fn write(&self, name: &str, pair: &Pair) {
        replace(&self.path(&format!("{name}.pem")), &pair.cert);
        replace(&self.path(&format!("{name}.key")), &pair.key);
    }

    pub(crate) fn server(&self) -> ServerTls {
        ServerTls {
            cert: self.path("server.pem"),
            key: self.path("server.key"),
            client_ca: Some(self.path("ca.pem")),
            ..ServerTls::default()
        }
    }

    pub(crate) fn client(&self) -> ClientTls {
        ClientTls {
            ca: Some(self.path("ca.pem")),
            cert: Some(self.path("client.pem")),
            key: Some(self.path("client.key")),
            server_name: Some("server.test".into()),
            ..ClientTls::default()
        }
    }
}

/// As careful writers do it: under another name, then renamed.
pub(crate) fn replace(path: &Path, text: &str) {
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .subsec_nanos();
    let new = path.with_extension(format!("new{nanos}"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}
