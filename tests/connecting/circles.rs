//! Upstreams that are the proxy itself.

use std::net::TcpListener;

use super::support::program::{command, folder, run, sandbox, signed_in};

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test]
async fn an_upstream_that_is_a_listener_of_the_proxy_is_refused_at_the_start() {
    let (sandbox, folder) = (sandbox().await, folder());
    let (port, admin) = (free_port(), free_port());
    for (upstream, own) in [
        (format!("http://localhost:{port}"), port),
        (format!("http://127.0.0.1:{port}/prod"), port),
        (format!("http://localhost:{admin}"), admin),
    ] {
        let (listen, admin_listen) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{admin}"));
        let arguments =
            ["serve", "--listen", &listen, "--admin-listen", &admin_listen, "--upstream", &upstream];
        let serve = signed_in(&arguments, &sandbox, folder.path());
        let ended = run(serve).await;
        assert_eq!(ended.code, Some(64), "{upstream}: {}", ended.stderr);
        let said = ended.stderr.contains("--upstream: the upstream")
            && ended.stderr.contains(&format!("is where this proxy itself listens (127.0.0.1:{own})"));
        assert!(said, "{upstream}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_service_of_aws_that_is_a_listener_of_the_proxy_is_refused_at_the_start() {
    let (sandbox, folder) = (sandbox().await, folder());
    let (port, admin) = (free_port(), free_port());
    let (listen, admin_listen) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{admin}"));
    let role = ["--classic-flow-role-arn", "arn:aws:iam::123456789012:role/user"];
    for (credentials, more, variable, own) in [
        ("cognito", &[][..], "AWS_ENDPOINT_URL_COGNITO_IDENTITY", port),
        ("cognito", &[], "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", admin),
        ("cognito", &role, "AWS_ENDPOINT_URL_STS", port),
        ("aws", &[], "AWS_ENDPOINT_URL", port),
        ("aws", &[], "AWS_ENDPOINT_URL_STS", admin),
        ("aws", &[], "AWS_CONTAINER_CREDENTIALS_FULL_URI", port),
    ] {
        let arguments =
            ["serve", "--listen", &listen, "--admin-listen", &admin_listen, "--credentials", credentials];
        let arguments = [&arguments, more].concat();
        let mut serve = match credentials {
            "aws" => command(&arguments),
            _ => signed_in(&arguments, &sandbox, folder.path()),
        };
        serve
            .env("COUNTERSIGN_UPSTREAM", "https://abc123.execute-api.eu-west-1.amazonaws.com/prod")
            .env(variable, format!("http://localhost:{own}/x"));
        let ended = run(serve).await;
        assert_eq!(ended.code, Some(64), "{variable}: {}", ended.stderr);
        let said =
            format!("{variable}: localhost:{own} is where this proxy itself listens (127.0.0.1:{own})");
        assert!(ended.stderr.contains(&said), "{variable}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_backend_of_the_sandbox_that_is_the_proxy_is_refused_at_the_start() {
    let port = free_port();
    let (listen, backend) = (format!("localhost:{port}"), format!("http://127.0.0.1:{port}"));
    let ended =
        run(command(&["sandbox", "--listen", &listen, "--port-base", "0", "--backend", &backend])).await;
    assert_eq!(ended.code, Some(64), "{}", ended.stderr);
    assert!(ended.stderr.contains("--backend: 127.0.0.1"), "{}", ended.stderr);
}
