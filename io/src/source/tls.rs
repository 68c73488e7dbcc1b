//! TLS towards a source, as MySQL's own `--ssl-mode` means it.
//!
//! `preferred` and `required` encrypt and do not check who is there; `verify_ca` checks the chain, not the name;
//! `verify_identity` checks both. Names are looked for in subjectAltName only: a certificate with nothing but a
//! common name (as MySQL makes by itself) passes `verify_ca`, not `verify_identity`.

use std::path::Path;
use std::sync::Arc;

use millstream_core::source::config::{SourceConfig, TlsConfig, TlsMode};
use millstream_core::source::error::SourceError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// The client's side for this configuration; `None` where TLS is disabled. Reads the PEM files.
///
/// # Errors
/// A file that cannot be read or holds no certificate or key, named.
pub fn client_config(config: &SourceConfig) -> Result<Option<Arc<ClientConfig>>, SourceError> {
    let tls = &config.tls;
    if tls.mode == TlsMode::Disabled {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match tls.mode {
        TlsMode::Disabled | TlsMode::Preferred | TlsMode::Required => Arc::new(NoCheck { provider: provider.clone() }),
        TlsMode::VerifyCa => Arc::new(ChainOnly { provider: provider.clone(), roots: roots(tls)? }),
        TlsMode::VerifyIdentity => WebPkiServerVerifier::builder_with_provider(Arc::new(roots(tls)?), provider.clone())
            .build()
            .map_err(|error| SourceError::Config(format!("tls.ca: {error}")))?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SourceError::Config(format!("tls: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let client = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates("tls.certificate", certificate)?;
            let key = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| SourceError::Config(format!("tls.key {}: {error}", key.display())))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| SourceError::Config(format!("tls.certificate and tls.key: {error}")))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Some(Arc::new(client)))
}

/// The name that the certificate must have. Only `verify_identity` looks at it.
pub fn server_name(host: &str, mode: TlsMode) -> Result<ServerName<'static>, SourceError> {
    match ServerName::try_from(host.to_owned()) {
        Ok(name) => Ok(name),
        Err(_) if mode != TlsMode::VerifyIdentity => Ok(ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into())),
        Err(error) => Err(SourceError::Config(format!("the host '{host}' is no name for a certificate: {error}"))),
    }
}

fn roots(tls: &TlsConfig) -> Result<RootCertStore, SourceError> {
    let mut store = RootCertStore::empty();
    match &tls.ca {
        Some(path) => {
            for certificate in certificates("tls.ca", path)? {
                store
                    .add(certificate)
                    .map_err(|error| SourceError::Config(format!("tls.ca {}: {error}", path.display())))?;
            }
        }
        None => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    Ok(store)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let complaint = |reason: String| SourceError::Config(format!("{key} {}: {reason}", path.display()));
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| complaint(error.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|error| complaint(error.to_string()))?;
    match certificates.is_empty() {
        true => Err(complaint("the file holds no certificate".to_owned())),
        false => Ok(certificates),
    }
}

/// Encrypted, and nothing more: whoever answers is believed.
#[derive(Debug)]
struct NoCheck {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for NoCheck {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The chain leads to one of our roots; the name may be another.
#[derive(Debug)]
struct ChainOnly {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
}

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
