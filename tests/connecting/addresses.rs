//! Upstreams with several addresses.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    time::Duration,
};

use countersign::proxy::Resolver;
use socket2::{Domain, Socket, Type};

use super::{
    problem,
    support::{
        Running, Setup, soon,
        upstream::{FINE, Upstream},
    },
};

/// An address that swallows connection attempts: its backlog is full, and nobody accepts.
struct BlackHole(Vec<Socket>);

impl BlackHole {
    fn at(address: SocketAddr) -> Self {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let listener = socket();
        listener.bind(&address.into()).expect("a free port");
        listener.listen(0).expect("a listener");
        let address = listener.local_addr().expect("bound");
        let mut sockets = vec![listener];
        for _ in 0..8 {
            let filler = socket();
            filler.set_nonblocking(true).expect("a socket");
            // Under way: the kernel answers the first ones and drops the others.
            let _ = filler.connect(&address);
            sockets.push(filler);
        }
        Self(sockets)
    }

    fn port(&self) -> u16 {
        self.0[0].local_addr().expect("bound").as_socket().expect("an address").port()
    }
}

async fn fine() -> Upstream {
    Upstream::start(|_, mut wire| async move {
        while wire.request().await.is_some() {
            wire.write(FINE).await;
        }
    })
    .await
}

/// A proxy whose upstream has these addresses.
async fn with_addresses(port: u16, addresses: &[&str], connect_timeout: Duration) -> Running {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().expect("an address")).collect();
    Setup::new()
        .upstream(format!("http://api.test:{port}"))
        .proxy(move |settings| {
            settings.proxy.timeouts.connect = connect_timeout;
            settings.proxy.resolver = Resolver::new(move |name| match name {
                "api.test" => Ok(addresses.clone()),
                other => Err(io::Error::other(format!("{other} was looked up"))),
            });
        })
        .start()
        .await
}

fn port_of(upstream: &Upstream) -> u16 {
    upstream.url().rsplit_once(':').expect("a port").1.parse().expect("a number")
}

#[tokio::test]
async fn an_address_that_swallows_connections_leaves_the_others_their_time() {
    for connect_timeout in [Duration::from_secs(3), Duration::from_millis(1_500)] {
        let upstream = fine().await;
        let port = port_of(&upstream);
        let _hole = BlackHole::at(([127, 0, 0, 2], port).into());
        let _another = BlackHole::at(([127, 0, 0, 3], port).into());
        let addresses = ["127.0.0.2", "127.0.0.3", "127.0.0.1"];
        let running = with_addresses(port, &addresses, connect_timeout).await;
        let answer = soon("an answer", running.proxy.get("/x")).await;
        assert_eq!(answer.text(), "fine", "{connect_timeout:?}");
        let retries = "countersign_upstream_retries_total{reason=\"connect\"}";
        assert_eq!(running.proxy.metric(retries).await, 0.0, "{connect_timeout:?}");
    }
}

#[tokio::test]
async fn an_address_that_refuses_hands_over_at_once() {
    let upstream = fine().await;
    let port = port_of(&upstream);
    let running = with_addresses(port, &["127.0.0.2", "::1", "127.0.0.1"], Duration::from_secs(3)).await;
    assert_eq!(running.proxy.get("/x").await.text(), "fine");
}

#[tokio::test]
async fn when_every_address_refuses_the_upstream_refuses() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let running = with_addresses(port, &["127.0.0.1", "127.0.0.2"], Duration::from_secs(3)).await;
    assert_eq!(
        running.proxy.get("/x").await.problem(),
        problem(502, "upstream-refused", "connection_refused")
    );
}

#[tokio::test]
async fn when_every_address_is_silent_the_answer_is_a_connect_timeout() {
    let hole = BlackHole::at(([127, 0, 0, 2], 0).into());
    let running = with_addresses(hole.port(), &["127.0.0.2"], Duration::from_millis(300)).await;
    let answer = running.proxy.get("/x").await;
    assert_eq!(answer.problem(), problem(504, "upstream-timeout", "connection_timeout"));
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("no address answered"), "{detail}");
}
