//! TLS that fails: what the client is told, and the log.

use std::sync::Arc;

use aws_smithy_runtime_api::client::{http::HttpConnector, orchestrator::HttpRequest};
use countersign::{aws_http, clock::Clock};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{
    problem,
    support::{
        Running, Setup,
        forward_proxy::{Does, ForwardProxy, at},
        http::request,
        program::{Program, ask, folder, sandbox, serve},
        tls::{Authority, fine_over_tls, names, of_server, server},
        upstream::Upstream,
    },
};

/// A proxy in front of the one upstream that `config` makes.
async fn in_front_of(config: ServerConfig, roots: Vec<std::path::PathBuf>) -> (Running, JoinSet<()>) {
    let (address, accepting) = fine_over_tls(config).await;
    let running = Setup::new()
        .upstream(format!("https://{address}"))
        .proxy(move |settings| settings.proxy.ca_files = roots)
        .start()
        .await;
    (running, accepting)
}

/// Asks once; the detail of the problem.
async fn detail(running: &Running, error: &str) -> String {
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), problem(502, "upstream-tls", error), "{}", answer.text());
    answer.json()["detail"].as_str().expect("text").to_owned()
}

#[tokio::test]
async fn an_untrusted_certificate_is_reported_with_the_reason() {
    let authority = Authority::new();
    let with = |change: fn(&mut CertificateParams)| {
        let mut params = names(&["127.0.0.1"]);
        change(&mut params);
        authority.server(&params)
    };
    let many: Vec<String> = (0..9).map(|number| format!("n{number}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (config, parts) in [
        (
            with(|params| params.not_after = date_time_ymd(2020, 2, 29)),
            &["The certificate of the upstream expired at 2020-02-29T00:00:00Z; this machine's clock says 2"]
                [..],
        ),
        (
            with(|params| params.not_before = date_time_ymd(2190, 1, 1)),
            &[
                "The certificate of the upstream is valid from 2190-01-01T00:00:00Z on; this machine's clock says 2",
            ],
        ),
        (
            authority.server(&names(&["a.example", "*.b.example", "10.0.0.1"])),
            &["The certificate of the upstream is for a.example, *.b.example, 10.0.0.1, not for 127.0.0.1."],
        ),
        (
            authority.server(&names(&many)),
            &["is for n0.example, ", "n4.example and 4 more, not for 127.0.0.1."],
        ),
        (authority.server(&names(&[])), &["has no host name in it and is not for 127.0.0.1."]),
        (self_signed(IsCa::NoCa).0, &["an authority that is not trusted", "ca-file"]),
        // Another authority of the same name.
        (
            Authority::new().server(&names(&["127.0.0.1"])),
            &["not signed with that authority's key", "ca-file"],
        ),
        (
            with(|params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth]),
            &["is not for servers."],
        ),
    ] {
        let (running, _accepting) = in_front_of(config, vec![authority.file()]).await;
        let detail = detail(&running, "tls_certificate_error").await;
        for part in parts {
            assert!(detail.contains(part), "{part} is not in {detail}");
        }
    }
}

#[tokio::test]
async fn a_certificate_signed_with_sha_1_is_reported_as_such() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/connecting/sha1/");
    let certificate = CertificateDer::from_pem_file(format!("{folder}leaf.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(format!("{folder}key.pem")).expect("a key");
    let config = of_server(&[&TLS13]).with_no_client_auth().with_single_cert(vec![certificate], key);
    let roots = vec![format!("{folder}ca.pem").into()];
    let (running, _accepting) = in_front_of(config.expect("a matching key"), roots).await;
    let detail = detail(&running, "tls_certificate_error").await;
    assert!(detail.contains("is signed over SHA-1") && detail.contains("SHA-256"), "{detail}");
}

/// A server whose certificate is signed with its own key, and the file that has the certificate.
fn self_signed(is_ca: IsCa) -> (ServerConfig, tempfile::NamedTempFile) {
    let key = KeyPair::generate().expect("a key");
    let mut params = names(&["127.0.0.1"]);
    params.distinguished_name.push(rcgen::DnType::CommonName, "signs itself");
    params.is_ca = is_ca;
    let certificate = params.self_signed(&key).expect("a certificate");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), certificate.pem()).expect("written");
    (server(certificate.der().clone(), &key), file)
}

#[tokio::test]
async fn a_self_signed_certificate_that_ca_file_names_is_trusted() {
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa] {
        let (config, file) = self_signed(is_ca);
        let (running, _accepting) = in_front_of(config, vec![file.path().to_owned()]).await;
        assert_eq!(running.proxy.get("/x").await.text(), "fine");
    }
}

#[tokio::test]
async fn a_self_signed_certificate_of_an_authority_is_refused_with_the_way_out() {
    let (config, file) = self_signed(IsCa::Ca(BasicConstraints::Unconstrained));
    let (running, _accepting) = in_front_of(config, vec![file.path().to_owned()]).await;
    let detail = detail(&running, "tls_certificate_error").await;
    assert!(detail.contains("certificate authority") && detail.contains("CA:FALSE"), "{detail}");
}

fn demanding_client_certificates(
    authority: &Authority,
    version: &'static SupportedProtocolVersion,
) -> ServerConfig {
    let key = KeyPair::generate().expect("a key");
    let certificate = names(&["127.0.0.1", "localhost"]).self_signed(&key).expect("a certificate");
    std::fs::write(authority.folder().join("server.pem"), certificate.pem()).expect("written");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.file()).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    of_server(&[version])
        .with_client_cert_verifier(verifier.expect("a verifier"))
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a matching key")
}

#[tokio::test]
async fn an_upstream_that_demands_a_client_certificate_is_reported() {
    let large = "x".repeat(1 << 20);
    for (version, protocol) in [(&TLS12, "http/1.1"), (&TLS12, "h2"), (&TLS13, "http/1.1"), (&TLS13, "h2")] {
        let authority = Authority::new();
        let mut config = demanding_client_certificates(&authority, version);
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let (running, _accepting) = in_front_of(config, vec![authority.folder().join("server.pem")]).await;
        let expected = problem(502, "upstream-tls", "tls_protocol_error");
        // A connection that the server resets while the request is being sent has its alert all the same.
        for body in ["", &large, "", &large] {
            let answer = running.proxy.send(request("POST", "/x", body.to_owned())).await;
            assert_eq!(answer.problem(), expected, "{version:?}, {protocol}: {}", answer.text());
            let detail = answer.json()["detail"].to_string();
            assert!(detail.contains("The upstream demands a client certificate. "), "{detail}");
        }
    }
}

#[tokio::test]
async fn a_forward_proxy_that_demands_a_client_certificate_is_reported() {
    for version in [&TLS12, &TLS13] {
        let authority = Authority::new();
        let config = demanding_client_certificates(&authority, version);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let proxy = ForwardProxy::start(Does::Nothing, Some(acceptor)).await;
        let (roots, port) = (authority.folder().join("server.pem"), proxy.port());
        let running = Setup::new()
            .upstream("https://api.test/prod")
            .proxy(move |settings| {
                settings.proxy.ca_files = vec![roots];
                settings.proxy.forward_proxies = at(true, "localhost", port, Vec::new());
            })
            .start()
            .await;
        let detail = detail(&running, "tls_protocol_error").await;
        let named =
            format!("The proxy localhost:{port}, which HTTPS_PROXY names, demands a client certificate.");
        assert!(detail.starts_with(&named), "{version:?}: {detail}");
    }
}

#[tokio::test]
async fn a_handshake_that_fails_says_how() {
    let authority = Authority::new();
    for (bytes, part) in [
        (&b"\x15\x03\x01\x00\x02\x02\x46"[..], "speaks neither TLS 1.2 nor TLS 1.3"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "ended the TLS handshake"),
        (b"\x15\x03\x03\x00\x02\x02\x70", "has no certificate for the host name"),
        (b"\x15\x03\x03\x00\x02\x02\x50", "refused the TLS connection with alert 80"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "did not answer with TLS. Check that the port"),
        (b"", "closed the connection during the TLS handshake"),
    ] {
        let upstream = Upstream::start(move |_, mut wire| async move {
            wire.write(bytes).await;
            wire.client_hello().await;
        })
        .await;
        let running = Setup::new()
            .upstream(upstream.url().replace("http:", "https:"))
            .trusting(&authority)
            .start()
            .await;
        let detail = detail(&running, "tls_protocol_error").await;
        assert!(detail.starts_with("The upstream ") && detail.contains(part), "{part}: {detail}");
    }
}

#[tokio::test]
async fn the_endpoints_of_aws_get_the_same_words() {
    let (address, _accepting) = fine_over_tls(self_signed(IsCa::NoCa).0).await;
    let connector = aws_http::connector(&aws_http::Settings::default(), Clock::system()).expect("roots");
    let request = HttpRequest::get(format!("https://{address}/")).expect("a request");
    let error = connector.call(request).await.expect_err("nobody trusts it");
    let causes = countersign::telemetry::causes(&error);
    let expected = "the certificate of 127.0.0.1 is signed by an authority that is not trusted (If a private authority \
                    signed it, name the authority's PEM file with AWS_CA_BUNDLE.)";
    assert_eq!(causes, expected);
}

#[tokio::test]
async fn the_log_has_the_detail_of_the_answer_without_control_characters() {
    let (sandbox, folder, authority) = (sandbox().await, folder(), Authority::new());
    let mut params = names(&["127.0.0.1"]);
    params.not_after = date_time_ymd(2020, 2, 29);
    let (address, _accepting) = fine_over_tls(authority.server(&params)).await;
    let mut serve = serve(&sandbox, folder.path());
    serve
        .env("COUNTERSIGN_UPSTREAM", format!("https://{address}"))
        .env("COUNTERSIGN_CA_FILE", authority.file());
    let program = Program::start(serve);
    let url = program.logged("ready", "url").await;
    assert_eq!(ask(&url, "/x").await.0.status, 502);
    let error = program.logged("no response from upstream", "error").await;
    assert!(
        error.starts_with("the certificate of the upstream expired at 2020-02-29T00:00:00Z; "),
        "{error}"
    );
    let line = program.stderr_line("no response from upstream").await;
    assert!(!line.contains("\"cause\""), "it would be empty: {line}");
    assert!(!line.contains("InvalidCertificate") && !line.contains("Expired"), "{line}");
}
